"""Validation of masks for the data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from edge_sam.annotate.limits import Limits
from edge_sam.annotate.records import LabelledMask
from edge_sam.everything.suppression import suppress_by_overlap
from edge_sam.imaging.masks import overlaps

Passes = Callable[[LabelledMask, Limits, tuple[int, int]], bool]


def _inside(mask: LabelledMask, limits: Limits, size: tuple[int, int]) -> bool:
    (height, width), (x, y, w, h) = size, mask.bbox
    margin = min(x, y, width - x - w, height - y - h)
    return not limits.border or margin >= limits.border


VALIDATORS: dict[str, Passes] = {
    "predicted_iou": lambda mask, limits, _: mask.predicted_iou >= (limits.pred_iou_thresh or 0),
    "stability": lambda mask, limits, _: mask.stability_score >= (limits.stability_score_thresh or 0),
    "area": lambda mask, limits, _: limits.min_mask_area <= mask.area <= (limits.max_mask_area or mask.area),
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
