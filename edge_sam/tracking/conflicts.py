"""Conflicts of objects that were found in the same place."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edge_sam.tracking.track import Detection, Track
from edge_sam.tracking.tracked import Tracked

SAME = 0.5
"""Overlap above which two masks show the same thing.

For masks found near their objects' last places, the overlap is the IoU. For a mask found anywhere, it is the
intersection as a fraction of the smaller mask. That is stricter: a lost object must not take over another one's mask.
"""

Detections = Mapping[Track, Detection]


def settle(found: Detections, held: Detections | None = None) -> dict[Track, Detection]:
    """Resolve conflicts, so that each place belongs to one object.

    Objects that already overlapped in the first frame, such as a car and its wheel, do not conflict.

    Parameters
    ----------
    found : mapping of Track to Detection
        The new detections. Of conflicting objects, the one that was nearest to the mask in the last frame keeps it.
    held : mapping of Track to Detection, optional
        Detections that stay. Then `found` comes from the whole frame, and of conflicting objects the one with the
        highest confidence keeps the mask.

    Returns
    -------
    dict of Track to Detection
        `held`, and the detections of `found` that keep their masks.
    """
    kept = dict(held or {})
    for item in sorted(found, key=lambda item: _claim(item, found[item], near=held is None), reverse=True):
        ours = found[item].tracked
        rivals = (kept[other].tracked for other in kept if _apart(item, other))
        if all(_overlap(ours, theirs, smaller=held is not None) <= SAME for theirs in rivals):
            kept[item] = found[item]
    return kept


def taken(item: Track, held: Detections, size: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the fraction of each token that other objects cover, (rows, columns) of `size`."""
    covers = [detection.cover for other, detection in held.items() if _apart(item, other)]
    return np.asarray(np.max([np.zeros(size, dtype=np.float32), *covers], axis=0))


def _claim(item: Track, detection: Detection, *, near: bool) -> float:
    """Return the strength of an object's claim to a mask."""
    before, now = item.tracked.box, detection.tracked.box
    if not near or before is None or now is None:
        return detection.tracked.score
    moved = np.linalg.norm(before[:2] + before[2:] - now[:2] - now[2:]) / 2
    return float(item.tracked.score / (1 + moved / np.linalg.norm(now[2:] - now[:2])))


def _apart(item: Track, other: Track) -> bool:
    return _overlap(item.first, other.first, smaller=True) <= SAME


def _overlap(a: Tracked, b: Tracked, *, smaller: bool) -> float:
    """Return the intersection of two masks as a fraction of the smaller one, or else of their union."""
    if a.box is None or b.box is None:
        return 0.0
    left, top = np.maximum(a.box[:2], b.box[:2]).astype(int)
    right, bottom = np.minimum(a.box[2:], b.box[2:]).astype(int)
    common = np.count_nonzero(a.mask[top:bottom, left:right] & b.mask[top:bottom, left:right])
    if not common:
        return 0.0
    areas = np.count_nonzero(a.mask), np.count_nonzero(b.mask)
    return common / (min(areas) if smaller else sum(areas) - common)
