"""The appearance of an object in image tokens, and the search for it in a frame. Nothing is trained.

Each image token takes the label of similar tokens of earlier frames, whose masks are known (space-time correspondence,
Jabri et al., arXiv 2006.14613, section 3.4). The mean token of an object tells whether a mask shows that object at all
(PerSAM, arXiv 2305.03048).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_sam.embedding import ImageEmbedding

TEMPERATURE = 0.07
"""Temperature of the softmax over cosines of earlier tokens with the present one."""
REACH = 0.25
"""Largest motion between two encoded frames, as a fraction of the frame's longer side."""

_ALONE = 1 << 18
"""Multiplications up to which OpenBLAS uses one thread. Its threads spin while they wait, which costs many times the
product on busy cores. `einsum` uses one thread."""

TokenWindow = tuple[slice, slice]
"""Rows and columns of image tokens."""


@dataclass(frozen=True, eq=False)
class Appearance:
    """An object and its surroundings in one embedding.

    Attributes
    ----------
    tokens : ndarray of float32, (rows, columns, 256)
        Image tokens of unit length.
    cover : ndarray of float32, (rows, columns)
        Fraction of each token that the object covers.
    origin : ndarray of float64, (2,)
        Row and column of the first token, relative to the centre of the object's box.
    """

    tokens: NDArray[np.float32]
    cover: NDArray[np.float32]
    origin: NDArray[np.float64]


def unit_tokens(embedding: ImageEmbedding) -> NDArray[np.float32]:
    """Return the image tokens without padding, (rows, columns, 256), each of unit length."""
    rows, columns = embedding.geometry.token_size
    features = embedding.features[:rows, :columns]
    return np.asarray(features / np.linalg.norm(features, axis=-1, keepdims=True))


def likeness(
    tokens: NDArray[np.float32],
    cover: NDArray[np.float32],
    seen: Appearance,
    ground: NDArray[np.float32],
) -> float:
    """Compare a mask's content with an object.

    Parameters
    ----------
    tokens : ndarray of float32, (rows, columns, 256)
        A frame's tokens, of unit length.
    cover : ndarray of float32, (rows, columns)
        Fraction of each token that the mask covers.
    seen : Appearance
        The object.
    ground : ndarray of float32, (256,)
        Mean of all tokens. It is subtracted, because it makes different objects look alike.

    Returns
    -------
    float
        Cosine of the two mean tokens. 0 for an empty mask.
    """
    ours = np.einsum("rc,rck", cover, tokens) - cover.sum() * ground
    theirs = np.einsum("rc,rck", seen.cover, seen.tokens) - seen.cover.sum() * ground
    return float(ours @ theirs / max(float(np.linalg.norm(ours) * np.linalg.norm(theirs)), 1e-12))


def whole(tokens: NDArray[np.float32]) -> TokenWindow:
    """Return the window that is the whole frame."""
    return slice(0, tokens.shape[0]), slice(0, tokens.shape[1])


def window_around(box: NDArray[np.float64], tokens: NDArray[np.float32]) -> TokenWindow:
    """Return the tokens that an object can reach until the next encoded frame.

    Parameters
    ----------
    box : ndarray of float64, (4,)
        XYXY in units of tokens.
    tokens : ndarray, (rows, columns, 256)
        Of the frame.
    """
    rows, columns = tokens.shape[:2]
    reach = _reach(max(rows, columns))
    left, top = np.floor(box[:2] - reach)
    right, bottom = np.ceil(box[2:] + reach)
    return slice(max(0, int(top)), min(rows, int(bottom))), slice(max(0, int(left)), min(columns, int(right)))


def appearance_of(tokens: NDArray[np.float32], cover: NDArray[np.float32], box: NDArray[np.float64]) -> Appearance:
    """Copy an object's appearance in a frame. `box` is XYXY in units of tokens."""
    window = window_around(box, tokens)
    return Appearance(tokens[window].copy(), cover[window], _corner(window) - _centre(box))


def label_tokens(
    tokens: NDArray[np.float32], window: TokenWindow, appearances: Sequence[Appearance], box: NDArray[np.float64] | None
) -> NDArray[np.float32]:
    """Estimate the fraction of each token that belongs to an object.

    Parameters
    ----------
    tokens : ndarray of float32, (rows, columns, 256)
        Of the frame, of unit length.
    window : TokenWindow
        The tokens to label.
    appearances : sequence of Appearance
        Of the object in earlier frames, with the same long side.
    box : ndarray of float64, (4,), or None
        Approximate place of the object, XYXY in units of tokens. Each token is then compared only with earlier tokens
        near the same place relative to the object. None: with all earlier tokens.

    Returns
    -------
    ndarray of float32, (rows, columns) of the window
        0 to 1.
    """
    asked = tokens[window]
    inside = np.zeros(asked.shape[:2], dtype=np.float32)
    total = np.full(asked.shape[:2], 1e-12, dtype=np.float32)
    for earlier in appearances:
        rows, columns = [slice(None)] * len(asked), None
        if box is not None:
            near_rows, columns = _near(asked.shape, _corner(window) - _centre(box), earlier, max(tokens.shape[:2]))
            rows = [_run(near) for near in near_rows]
        for row, near in enumerate(rows):
            affinity = _cosines(asked[row], earlier.tokens[near])
            affinity -= 1
            affinity *= np.float32(1 / TEMPERATURE)
            np.exp(affinity, out=affinity)
            if columns is not None:
                affinity *= columns[:, None]
            inside[row] += np.einsum("irc,rc", affinity, earlier.cover[near])
            total[row] += affinity.sum(axis=(1, 2))
    return np.asarray(inside / total)


def _cosines(row: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the cosine of each of (N, 256) tokens with each of (rows, columns, 256): (N, rows, columns)."""
    flat = others.reshape(-1, others.shape[-1])
    cosines = np.empty((len(row), len(flat)), dtype=np.float32)
    step = max(1, _ALONE // row.size)
    for start in range(0, len(flat), step):
        part = slice(start, start + step)
        np.matmul(row, flat[part].T, out=cosines[:, part])
    return cosines.reshape(len(row), *others.shape[:2])


def _run(flags: NDArray[np.bool_]) -> slice:
    """Return the slice of the flags that are set. They must be contiguous."""
    start = int(flags.argmax())
    return slice(start, start + int(np.count_nonzero(flags)))


def _near(
    shape: tuple[int, ...], origin: NDArray[np.float64], earlier: Appearance, side: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which rows and columns of a window and an appearance lie near each other, relative to the object."""
    reach = _reach(side)
    rows, columns = (
        origin[axis] + np.arange(shape[axis])[:, None] - earlier.origin[axis] - np.arange(earlier.cover.shape[axis])
        for axis in (0, 1)
    )
    return np.abs(rows) <= reach, np.abs(columns) <= reach


def _reach(side: int) -> int:
    reach: int = round(REACH * side)
    return reach


def _corner(window: TokenWindow) -> NDArray[np.float64]:
    return np.array([window[0].start, window[1].start], dtype=np.float64)


def _centre(box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the row and column of a box's centre."""
    return np.array([box[1] + box[3], box[0] + box[2]]) / 2
