"""Two objects that were found in one place: which of them keeps it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edge_sam.tracking.objects import Detection, Track
from edge_sam.tracking.tracked import Tracked

SAME = 0.5
"""Overlap above which two masks are taken for one thing.

Of masks that were found near their objects' last places, IoU counts. Of a mask that was found anywhere, the part of the
smaller mask that both have counts. That is stricter: a lost object has no right to what another one holds.
"""

Found = Mapping[Track, Detection]


def settle(found: Found, held: Found | None = None) -> dict[Track, Detection]:
    """Give each place to one object.

    Objects that overlapped in the first frame already, such as a car and its wheel, are no rivals.

    Parameters
    ----------
    found : mapping of Track to Detection
        What is to be settled. Of rivals, the object that was nearest to the mask in the last frame keeps it.
    held : mapping of Track to Detection, optional
        What is settled. Then `found` was searched for anywhere, and of rivals among it the surest keeps the mask.

    Returns
    -------
    dict of Track to Detection
        `held` and those of `found` that keep their masks.
    """
    kept = dict(held or {})
    for item in sorted(found, key=lambda item: _claim(item, found[item], near=held is None), reverse=True):
        ours = found[item].tracked
        rivals = (kept[other].tracked for other in kept if _apart(item, other))
        if all(_overlap(ours, theirs, smaller=held is not None) <= SAME for theirs in rivals):
            kept[item] = found[item]
    return kept


def taken(item: Track, held: Found, size: tuple[int, ...]) -> NDArray[np.float32]:
    """Fraction of each token that other objects cover, (rows, columns) of `size`; `item` cannot be there."""
    covers = [detection.cover for other, detection in held.items() if _apart(item, other)]
    return np.asarray(np.max([np.zeros(size, dtype=np.float32), *covers], axis=0))


def _claim(item: Track, detection: Detection, *, near: bool) -> float:
    """Say how much of a right an object has to a mask."""
    before, now = item.tracked.box, detection.tracked.box
    if not near or before is None or now is None:
        return detection.tracked.score
    moved = np.linalg.norm(before[:2] + before[2:] - now[:2] - now[2:]) / 2
    return float(item.tracked.score / (1 + moved / np.linalg.norm(now[2:] - now[:2])))


def _apart(item: Track, other: Track) -> bool:
    return _overlap(item.first, other.first, smaller=True) <= SAME


def _overlap(a: Tracked, b: Tracked, *, smaller: bool) -> float:
    """Part of the smaller of two masks, or else of their union, that both have."""
    if a.box is None or b.box is None:
        return 0.0
    left, top = np.maximum(a.box[:2], b.box[:2]).astype(int)
    right, bottom = np.minimum(a.box[2:], b.box[2:]).astype(int)
    common = np.count_nonzero(a.mask[top:bottom, left:right] & b.mask[top:bottom, left:right])
    if not common:
        return 0.0
    areas = np.count_nonzero(a.mask), np.count_nonzero(b.mask)
    return common / (min(areas) if smaller else sum(areas) - common)
