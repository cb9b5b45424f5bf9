"""Label Studio's run-length encoding of brush masks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_CHANNELS = 4
"""Each pixel stands four times in a row, as red, green, blue and alpha."""
_WORD_BITS = 8
_LENGTH_BITS = np.array([3, 4, 8, 16])
"""Sizes of the field that holds a run's length."""
_LONGEST = 1 << 16


def encode_brush(mask: NDArray[np.bool_]) -> list[int]:
    """Encode a (height, width) mask as bytes.

    The stream of bits begins with the number of values (32 bits), the size of a value minus one (5 bits) and the four
    sizes of a length minus one (4 bits each). Then comes for each run: a set bit, the index of the length's size (2
    bits), the length minus one, and the value, 255 on the object and 0 off it. Pixels go row by row.
    """
    values, lengths = _runs(mask.ravel())
    sizes = np.searchsorted(1 << _LENGTH_BITS[:-1], lengths)
    bits = _LENGTH_BITS[sizes]
    header = [(_CHANNELS * mask.size, 32), (_WORD_BITS - 1, 5), *((size - 1, 4) for size in _LENGTH_BITS.tolist())]
    codes = np.concatenate(
        [
            [number for number, _ in header],
            ((((1 << 2 | sizes) << bits) | (lengths - 1)) << _WORD_BITS) | values,
        ]
    ).astype(np.int64)
    widths = np.concatenate([[width for _, width in header], 3 + bits + _WORD_BITS]).astype(np.int64)
    return list(np.packbits(_to_bits(codes, widths)).tobytes())


def _runs(pixels: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return value and length of each run, in values of one channel, none longer than `_LONGEST`."""
    starts = np.concatenate([[0], np.flatnonzero(pixels[1:] != pixels[:-1]) + 1])
    lengths = np.diff(np.append(starts, pixels.size)) * _CHANNELS
    pieces = -(-lengths // _LONGEST)
    values = np.repeat(np.where(pixels[starts], 255, 0), pieces)
    split = np.full(values.size, _LONGEST, np.int64)
    split[np.cumsum(pieces) - 1] = lengths - (pieces - 1) * _LONGEST
    return values, split


def _to_bits(codes: NDArray[np.int64], widths: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Write numbers one after the other, the highest bit first, each in its own width."""
    ends = np.cumsum(widths)
    place = np.repeat(ends, widths) - 1 - np.arange(ends[-1])
    return (np.repeat(codes, widths) >> place & 1).astype(np.uint8)
