"""Which of a matcher's candidates become masks."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sam.everything.suppression import suppress
from edge_sam.text.matcher import WordBoxes
from edge_sam.text.settings import TextSettings

MOST_CANDIDATES = 1000
"""Candidates that are compared with each other, the best ones. A threshold of 0 lets every place of a detector through,
14,400 of one photograph, and the time for comparing them grows with the square of their number."""


def inside(found: WordBoxes, size: tuple[int, ...], region: NDArray[np.bool_] | None) -> WordBoxes:
    """Cut boxes at the photograph's border, and drop those without a pixel in it or in the region."""
    height, width = size
    found = replace(found, boxes=found.boxes.clip(0, (width, height, width, height)))
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    found = found.take(np.asarray(np.isfinite(found.boxes).all(axis=1) & (sides >= 1).all(axis=1), np.bool_))
    if region is None:
        return found
    sums = cv2.integral(region.view(np.uint8))
    x0, y0 = np.floor(found.boxes[:, :2]).astype(np.intp).T
    x1, y1 = np.ceil(found.boxes[:, 2:]).astype(np.intp).T
    valid: NDArray[np.bool_] = sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0] > 0
    return found.take(valid)


def choose(found: WordBoxes, settings: TextSettings) -> list[int]:
    """Return the indices of the objects among candidates, which may be several for one object.

    No object overlaps a better one: of any text if texts are exclusive, else of its own. At most `top` are of a text.
    Of very many candidates only the `MOST_CANDIDATES` with the best scores are considered, all texts together.
    """
    best = np.argsort(-found.scores, kind="stable")[:MOST_CANDIDATES]
    groups = [best]
    if not settings.exclusive:
        groups = [best[found.words[best] == word] for word in np.unique(found.words[best])]
    scores, counts, chosen = found.scores.astype(np.float64), Counter[int](), []
    for group in groups:
        for i in group[suppress(found.boxes[group], scores[group], settings.overlap)]:
            counts[found.words[i]] += 1
            if settings.top is None or counts[found.words[i]] <= settings.top:
                chosen.append(int(i))
    return chosen
