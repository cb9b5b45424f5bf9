"""Which points are asked, and in which order: coarse to fine, leaving out those whose answer is known already."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_sam.embedding import ImageEmbedding
from edge_sam.imaging.geometry import CELL, TOKEN

_EXPLAINED = 0.85
"""Likeness of a point to an answered one from which on it is not asked; docs/lab/everything.md has the measurements."""
_ELSEWHERE = 0.1
"""How much less an answered point explains about points outside the masks that it gave."""
_UNKNOWN = -2.0
"""Less than any likeness."""


class Agenda:
    """The points of one crop that are still to be asked.

    A point is explained by an answered one when it lies inside all the masks that were accepted there and its image
    token looks alike (cosine), for then it would get the same masks. A small object on a large one has another
    token, so it is asked although it lies inside a mask. What is explained least comes next.

    Parameters
    ----------
    points : ndarray of float64, (N, 2)
        XY in pixels of the crop.
    embedding : ImageEmbedding
        Of the crop.
    adaptive : bool
        False: every point is asked.
    """

    def __init__(self, points: NDArray[np.float64], embedding: ImageEmbedding, *, adaptive: bool) -> None:
        order = _coarse_to_fine(points)
        self.points = points[order]
        self._adaptive = adaptive
        self._cells = embedding.geometry.squares_at(self.points, CELL)
        tokens = embedding.features[embedding.geometry.squares_at(self.points, TOKEN)]
        self._tokens = tokens / np.linalg.norm(tokens, axis=1, keepdims=True)
        self._explained = np.full(len(points), _UNKNOWN, dtype=np.float32)

    def next(self, count: int) -> NDArray[np.intp]:
        """Take up to `count` indices into `points`; none when there is nothing left to ask."""
        chosen = np.argsort(self._explained, kind="stable")[:count]
        chosen = chosen[self._explained[chosen] < _EXPLAINED]
        self._explained[chosen] = np.inf
        return chosen

    def answered(self, index: int, logits: Sequence[NDArray[np.float32]]) -> None:
        """Learn what a point gave.

        Parameters
        ----------
        index : int
            Index into `points`.
        logits : sequence of ndarray of float32, (256, 256)
            Low-res logits of the masks that were accepted there.
        """
        if not self._adaptive:
            return
        likeness = self._tokens @ self._tokens[index]
        inside = np.full(len(likeness), bool(logits))
        for plane in logits:
            inside &= plane[self._cells] > 0
        np.maximum(self._explained, np.where(inside, likeness, likeness - _ELSEWHERE), out=self._explained)


def _coarse_to_fine(points: NDArray[np.float64]) -> NDArray[np.intp]:
    """Order points so that the first few are spread over all of them, and so on.

    The points are sorted along a Z-order curve and taken from it by the van der Corput sequence.
    """
    lowest = points.min(axis=0)
    fractions = (points - lowest) / np.maximum(points.max(axis=0) - lowest, 1)
    code = np.zeros(len(points), dtype=np.int64)
    for bit in range(10):
        for axis, values in enumerate((fractions * 1023.999).astype(np.int64).T):
            code |= ((values >> bit) & 1) << (2 * bit + axis)
    curve = np.argsort(code, kind="stable")
    bits = max(1, (len(points) - 1).bit_length())
    positions = np.arange(1 << bits)
    turned = np.zeros_like(positions)
    for bit in range(bits):
        turned |= ((positions >> bit) & 1) << (bits - 1 - bit)
    return np.asarray(curve[turned[turned < len(points)]])
