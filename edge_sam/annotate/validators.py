"""Validation of masks for the data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from edge_sam.annotate.records import LabelledMask
from edge_sam.errors import InputError
from edge_sam.everything.suppression import suppress_by_overlap
from edge_sam.imaging.masks import overlaps


class Limits(msgspec.Struct, frozen=True):
    """The limits that a mask must meet.

    Attributes
    ----------
    pred_iou_thresh, stability_score_thresh : float
        Lowest predicted IoU and stability.
    stability_score_offset : float
        Change of the mask threshold, up and down, for the stability score, in logits.
    min_area, max_area : int
        In pixels. `max_area` 0: no limit.
    border : int
        Smallest distance to the photograph's edge, in pixels. 0: no limit. 1: reject masks that touch the edge.
    mask_nms_thresh : float
        Of two masks of one category whose IoU is higher, the one with the lower predicted IoU is a duplicate. 1: no
        mask is a duplicate.
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


Passes = Callable[[LabelledMask, Limits, tuple[int, int]], bool]


def _inside(mask: LabelledMask, limits: Limits, size: tuple[int, int]) -> bool:
    (height, width), (x, y, w, h) = size, mask.bbox
    margin = min(x, y, width - x - w, height - y - h)
    return not limits.border or margin >= limits.border


VALIDATORS: dict[str, Passes] = {
    "predicted_iou": lambda mask, limits, _: mask.predicted_iou >= limits.pred_iou_thresh,
    "stability": lambda mask, limits, _: mask.stability_score >= limits.stability_score_thresh,
    "area": lambda mask, limits, _: limits.min_area <= mask.area <= (limits.max_area or mask.area),
    "border": _inside,
}
"""Tests of a single mask, in this order. A rejected mask counts under the first test that it fails."""


def validate(
    masks: Sequence[LabelledMask], limits: Limits, size: tuple[int, int]
) -> tuple[list[LabelledMask], Counter[str]]:
    """Reject masks that do not meet the limits.

    Parameters
    ----------
    masks : sequence of LabelledMask
        All masks of one photograph.
    limits : Limits
    size : tuple of int
        (height, width) of the photograph.

    Returns
    -------
    list of LabelledMask
        The masks that passed, in the given order.
    Counter of str
        Rejected masks by reason: a name in `VALIDATORS`, or ``"duplicate"``.
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


def _without_duplicates(masks: list[LabelledMask], threshold: float) -> list[LabelledMask]:
    if threshold >= 1:
        return masks
    order = sorted(range(len(masks)), key=lambda i: -masks[i].predicted_iou)
    rles = [masks[i].segmentation for i in order]
    categories = np.array([masks[i].category for i in order])
    ious = overlaps(rles, rles) * (categories[:, None] == categories)
    return [masks[i] for i in sorted(order[k] for k in suppress_by_overlap(ious, threshold))]
