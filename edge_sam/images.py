"""Finding photographs in folders, and reading them from files, bytes and standard input."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any, TypeVar

import cv2
import imagesize
import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import InputError
from edge_sam.names import natural_key

MAX_PIXELS = 200_000_000
"""Larger images are refused from their header, before anything is allocated."""
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
"""Of files in a folder, in small letters, that are taken for pictures."""
_T = TypeVar("_T")


def is_picture(name: str) -> bool:
    """Tell whether a file of a folder is meant as a picture; a hidden one is not (macOS leaves ``._photo.jpg``)."""
    return PurePath(name).suffix.lower() in SUFFIXES and not name.startswith(".")


def pictures(folder: Path) -> list[Path]:
    """List the pictures that lie in a folder, in natural order: ``frame2`` before ``frame10``.

    Raises
    ------
    InputError
        The folder cannot be read.
    """
    try:
        found = [path for path in folder.iterdir() if is_picture(path.name) and not path.is_dir()]
    except OSError as error:
        raise InputError(f"cannot read {folder}: {error.strerror or error}") from error
    return sorted(found, key=lambda path: natural_key(path.name))


def spread(items: Sequence[_T], count: int) -> list[_T]:
    """Choose at most `count` of the items, evenly spread, the first and the last among them."""
    chosen = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[i] for i in chosen]


def read_image(source: str | Path) -> NDArray[np.uint8]:
    """Read a photograph as RGB, upright.

    The EXIF orientation is applied (in WebP from OpenCV 4.13 on), grey becomes RGB, 16 bits a channel become 8 by
    scale, and an alpha channel is dropped. Of an animation or a multi-page file the first picture is taken.

    Parameters
    ----------
    source : str or Path
        A file, or ``"-"`` for standard input.

    Returns
    -------
    ndarray of uint8, (height, width, 3)
        RGB.

    Raises
    ------
    InputError
        No such file, not an image, a truncated or empty one, more than `MAX_PIXELS`, or floating-point pixels.
    """
    if str(source) == "-":
        if sys.stdin is None:
            raise InputError("cannot read the image from standard input: it is closed")
        return decode_image(sys.stdin.buffer.read(), "standard input")
    try:
        data = Path(source).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read image {source}: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"cannot read image {source!r}: {error}") from error
    return decode_image(data, str(source))


def decode_image(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decode an encoded photograph; see `read_image`. `name` is what errors call it."""
    if not data:
        raise InputError(f"{name} is empty")
    width, height = _size_in_header(data)
    if width == 0 or height == 0:
        raise InputError(f"{name} has no pixels ({width}×{height})")
    if width * height > MAX_PIXELS:
        raise InputError(f"{name} is {width}×{height}; the limit is {MAX_PIXELS // 10**6} million pixels")
    if _ends_early(data):
        raise InputError(f"{name} is truncated")
    image = _decode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if image is None:  # Grey floating-point pictures cannot be had as colour; look what it is.
        image = _decode(data, cv2.IMREAD_UNCHANGED)
    if image is None:
        known = width > 0
        raise InputError(
            f"{name} is {'truncated or damaged' if known else 'not an image in a format that OpenCV reads'}"
        )
    if image.dtype == np.uint16:
        image = cv2.convertScaleAbs(image, alpha=1 / 257)
    if image.dtype != np.uint8 or image.ndim != 3:
        raise InputError(f"{name} has {image.dtype} pixels; convert it to 8 or 16 bits a channel first")
    return np.ascontiguousarray(image[..., ::-1])


def _size_in_header(data: bytes) -> tuple[int, int]:
    """(width, height) as the header has it, or (-1, -1) where it cannot be told."""
    try:
        width, height = imagesize.get(io.BytesIO(data))
    except (ValueError, OSError, IndexError):
        return -1, -1
    return int(width), int(height)


def _ends_early(data: bytes) -> bool:
    """Tell whether a JPEG or PNG lacks its end.

    OpenCV before 4.11 fills the rest of such a JPEG with grey. Damage before the end is for the decoder to find.
    """
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data
    if not data.startswith(b"\xff\xd8"):
        return False
    position = 2
    while data[position : position + 1] == b"\xff":
        marker, length = data[position + 1 : position + 2], int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == b"\xda":  # Start of scan: from here on a bare marker can only be a real one.
            return data.find(b"\xff\xd9", position) < 0
        position += 1 if marker == b"\xff" else 2 + length
    return True


def _decode(data: bytes, flags: int) -> NDArray[np.integer[Any] | np.floating[Any]] | None:
    """BGR of whatever depth, or None. OpenCV applies the EXIF orientation and drops alpha."""
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None


def encode_png(image: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """Encode (height, width) grey of 8 or 16 bits, or (height, width, 3) RGB pixels, as PNG."""
    pixels = image[..., ::-1] if image.ndim == 3 else image
    _, data = cv2.imencode(".png", pixels)
    return bytes(data)
