"""PNG masks whose pixels are numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import InputError
from edge_sam.images import decode_image


def read_labels(path: Path) -> NDArray[np.uint8]:
    """Read the number at each pixel of a mask: its grey level, or its index in the palette.

    Parameters
    ----------
    path : Path
        A grey PNG, or one with a palette as VOC and DAVIS have them.

    Returns
    -------
    ndarray of uint8, (height, width)

    Raises
    ------
    InputError
        The file cannot be read, or is in colour without a palette.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read mask {path}: {error.strerror or error}") from error
    colours = decode_image(data, f"mask {path}")
    palette = _palette(data)
    if palette is None:
        if (colours != colours[..., :1]).any():
            raise InputError(f"mask {path} is in colour; expected a grey PNG, or one with a palette")
        return np.ascontiguousarray(colours[..., 0])
    # OpenCV gives a palette's colours, not its indices. Of two entries with one colour the first is meant.
    codes, index = np.unique(_code(palette), return_index=True)
    return index[np.searchsorted(codes, _code(colours))].astype(np.uint8)


def _code(colours: NDArray[np.uint8]) -> NDArray[np.int32]:
    """One number for each RGB colour."""
    wide = colours.astype(np.int32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


def _palette(data: bytes) -> NDArray[np.uint8] | None:
    """Colours of a PNG's palette (K, 3), or None where it has none."""
    for kind, content in _chunks(data):
        if kind == b"IHDR" and content[9] != 3:  # Colour type 3 is the one that indexes a palette.
            return None
        if kind == b"PLTE":
            return np.frombuffer(content, dtype=np.uint8).reshape(-1, 3)
    return None


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each chunk of a PNG (ISO/IEC 15948, section 5.3); of other files none."""
    position = 8 if data.startswith(b"\x89PNG\r\n\x1a\n") else len(data)
    while position < len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        yield data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        position += length + 12
