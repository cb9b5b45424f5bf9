"""Which masks are good enough for the data set, and why the others are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from edge_sam.annotate.records import Mask
from edge_sam.errors import InputError
from edge_sam.imaging.masks import overlaps


class Limits(msgspec.Struct, frozen=True):
    """What a mask must keep to.

    Attributes
    ----------
    pred_iou_thresh, stability_score_thresh : float
        Lowest predicted IoU and stability.
    stability_score_offset : float
        By how much the threshold is raised and lowered for the stability, in logits.
    min_area, max_area : int
        Pixels; `max_area` 0: no limit.
    border : int
        Masks nearer than so many pixels to the photograph's edge are cut off by it; 0 lets them pass, 1 rejects
        what touches it.
    mask_nms_thresh : float
        Of two masks of one category that overlap with a higher IoU, the one with the lower predicted IoU is a
        duplicate. 1: none.
    """

    pred_iou_thresh: float
    stability_score_thresh: float
    stability_score_offset: float = 1.0
    min_area: int = 0
    max_area: int = 0
    border: int = 0
    mask_nms_thresh: float = 0.9

    def __post_init__(self) -> None:
        for name in ("pred_iou_thresh", "stability_score_thresh", "mask_nms_thresh"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name):g}; it must be 0 to 1")
        for name in ("stability_score_offset", "min_area", "max_area", "border"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} is {getattr(self, name):g}; it must be at least 0")
        if 0 < self.max_area < self.min_area:
            raise InputError(f"max_area {self.max_area} is less than min_area {self.min_area}")


Passes = Callable[[Mask, Limits, tuple[int, int]], bool]


def _inside(mask: Mask, limits: Limits, size: tuple[int, int]) -> bool:
    (height, width), (x, y, w, h) = size, mask.bbox
    margin = min(x, y, width - x - w, height - y - h)
    return not limits.border or margin >= limits.border


VALIDATORS: dict[str, Passes] = {
    "predicted_iou": lambda mask, limits, _: mask.predicted_iou >= limits.pred_iou_thresh,
    "stability": lambda mask, limits, _: mask.stability_score >= limits.stability_score_thresh,
    "area": lambda mask, limits, _: limits.min_area <= mask.area <= (limits.max_area or mask.area),
    "border": _inside,
}
"""Tests of a mask by itself, in this order; a mask that fails is counted under the first name."""


def validate(masks: Sequence[Mask], limits: Limits, size: tuple[int, int]) -> tuple[list[Mask], Counter[str]]:
    """Keep the masks that pass.

    Parameters
    ----------
    masks : sequence of Mask
        Of one photograph.
    limits : Limits
    size : tuple of int
        (height, width) of the photograph.

    Returns
    -------
    list of Mask
        In the order given.
    Counter of str
        How many did not pass, by reason: a name in `VALIDATORS`, or ``"duplicate"``.
    """
    rejected: Counter[str] = Counter()
    passed = []
    for mask in masks:
        reason = next((name for name, passes in VALIDATORS.items() if not passes(mask, limits, size)), None)
        if reason is None:
            passed.append(mask)
        else:
            rejected[reason] += 1
    kept = _without_duplicates(passed, limits.mask_nms_thresh)
    if len(kept) < len(passed):
        rejected["duplicate"] += len(passed) - len(kept)
    return kept, rejected


def _without_duplicates(masks: list[Mask], threshold: float) -> list[Mask]:
    if threshold >= 1:
        return masks
    order = sorted(range(len(masks)), key=lambda i: -masks[i].predicted_iou)
    rles = [mask.segmentation for mask in masks]
    ious = overlaps(rles, rles)
    kept: list[int] = []
    for i in order:
        rivals = [j for j in kept if masks[j].category == masks[i].category]
        if not (ious[i, rivals] > threshold).any():
            kept.append(i)
    return [masks[i] for i in sorted(kept)]
