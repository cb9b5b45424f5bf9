"""Which masks are good enough for the data set, and why the others are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge_sam.annotate.records import Mask
from edge_sam.errors import InputError
from edge_sam.everything.settings import Fraction, Measures, Pixels
from edge_sam.imaging.masks import overlaps


@dataclass(frozen=True, kw_only=True)
class Limits(Measures):
    """Which masks are kept.

    Attributes
    ----------
    pred_iou_thresh : float, optional
        Lowest predicted IoU. Default: 0.88 for a grid of points, 0 for given prompts.
    stability_score_thresh : float, optional
        Lowest stability: the IoU of the mask with its threshold raised and lowered. Default: 0.95 for a grid of points,
        0 for given prompts.
    mask_nms_thresh : float
        Mask IoU above which masks of one category are duplicates; 1 keeps all.
    max_mask_area : int
        Largest mask in pixels; 0 sets no limit.
    border : int
        Reject masks that come nearer than this many pixels to the photograph's edge; 1 rejects those that touch it.
    """

    pred_iou_thresh: Fraction | None = None
    stability_score_thresh: Fraction | None = None
    mask_nms_thresh: Fraction = 0.9
    max_mask_area: Pixels = 0
    border: Pixels = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if 0 < self.max_mask_area < self.min_mask_area:
            raise InputError(f"max_mask_area {self.max_mask_area} is less than min_mask_area {self.min_mask_area}")


Passes = Callable[[Mask, Limits, tuple[int, int]], bool]


def _inside(mask: Mask, limits: Limits, size: tuple[int, int]) -> bool:
    (height, width), (x, y, w, h) = size, mask.bbox
    margin = min(x, y, width - x - w, height - y - h)
    return not limits.border or margin >= limits.border


VALIDATORS: dict[str, Passes] = {
    "predicted_iou": lambda mask, limits, _: mask.predicted_iou >= (limits.pred_iou_thresh or 0),
    "stability": lambda mask, limits, _: mask.stability_score >= (limits.stability_score_thresh or 0),
    "area": lambda mask, limits, _: limits.min_mask_area <= mask.area <= (limits.max_mask_area or mask.area),
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
