"""The order in which points are asked: coarse to fine, without points whose answer is already known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_sam.embedding import ImageEmbedding
from edge_sam.imaging.geometry import CELL
from edge_sam.imaging.view import TOKEN

_EXPLAINED = 0.85
"""Similarity to an answered point from which on a point is not asked. See docs/lab/everything.md for measurements."""
_ELSEWHERE = 0.1
"""How much less an answered point explains points outside its masks."""
_UNKNOWN = -2.0
"""Less than any similarity."""


class PointQueue:
    """The points of one crop that are still to be asked.

    An answered point explains another point if that point lies inside all the masks accepted there and has a similar
    image token (cosine): it would get the same masks. A small object on a large one has a different token, so its
    point is asked although it lies inside a mask. The point that is explained least comes next.

    Parameters
    ----------
    points : ndarray of float64, (N, 2)
        XY in pixels of the crop.
    embedding : ImageEmbedding
        Of the crop.
    adaptive : bool
        False: ask every point.
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
        """Take up to `count` indices into `points`. Returns none when no point is left to ask."""
        chosen = np.argsort(self._explained, kind="stable")[:count]
        chosen = chosen[self._explained[chosen] < _EXPLAINED]
        self._explained[chosen] = np.inf
        return chosen

    def answered(self, index: int, logits: Sequence[NDArray[np.float32]]) -> None:
        """Record the answer at a point.

        Parameters
        ----------
        index : int
            Index into `points`.
        logits : sequence of ndarray of float32, (rows, columns)
            Low-res logits of the masks accepted there.
        """
        if not self._adaptive:
            return
        similarity = self._tokens @ self._tokens[index]
        inside = np.full(len(similarity), bool(logits))
        for plane in logits:
            inside &= plane[self._cells] > 0
        np.maximum(self._explained, np.where(inside, similarity, similarity - _ELSEWHERE), out=self._explained)


def _coarse_to_fine(points: NDArray[np.float64]) -> NDArray[np.intp]:
    """Order points so that any first few of them are spread over the whole set.

    The points are sorted along a Z-order curve and then taken in the order of the van der Corput sequence.
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
