"""Identify and decode image files with Pillow, without warnings and within a size limit."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import math
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, TiffImagePlugin, _imaging

from edge_sam.errors import InputError, TooManyPixelsError
from edge_sam.imaging.identify import identify, printable_reason

MAX_PIXELS = 128_000_000
"""Larger images are rejected after reading the header, before any allocation. Pillow takes 4 bytes a pixel and the
result 3, so no image takes more than 1 GB."""
_MAX_PYTHON_PIXELS = 4_000_000
"""Pixel limit for formats that Pillow decodes in Python at about a microsecond a pixel: RLE BMP, QOI and others."""
logging.getLogger("PIL").addHandler(logging.NullHandler())  # Without a handler Python prints Pillow's errors.


class _Quiet:
    """Suppresses Pillow's warnings in any number of threads at a time.

    `warnings.catch_warnings` alone is not thread-safe: on exit it restores filters that another thread changed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\b|pillow_heif\b")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._filters.__exit__(None, None, None)


_quiet = _Quiet()


@dataclass(frozen=True, eq=False)
class Picture:
    """An image file whose header was read.

    Attributes
    ----------
    name : str
        Name for error messages.
    image : Image
        Pillow's image. `load` decodes it; its orientation is not applied.
    samples : str
        Pillow's raw mode of the file: ``"L;4"`` is 4 bits of grey, ``"RGB;16B"`` 16 bits a channel.
    maximum : int or None
        Largest sample value of the file, if Pillow scales samples to 8 or 16 bits.
    inverted : bool
        Whether 0 is white in 16-bit grey. Pillow inverts such images only for fewer bits.
    """

    name: str
    image: Image.Image
    samples: str
    maximum: int | None = None
    inverted: bool = False

    def load(self) -> None:
        """Decode the image. Raises `InputError` with the reason if that fails."""
        try:
            self.image.load()
        except MemoryError:
            raise
        except Exception as error:  # Pillow raises many classes for damaged data.
            text = printable_reason(error)
            if "truncated" in text.lower():
                raise InputError(f"{self.name} is truncated") from error
            compression = self.image.info.get("compression")
            form = f"{self.image.format} ({compression})" if isinstance(compression, str) else self.image.format
            raise InputError(
                f"{self.name} is damaged, or {form} of a kind that Pillow cannot decode: {text}"
            ) from error

    @property
    def orientation(self) -> int:
        """The EXIF orientation, 1 if there is none. Read it after `load`."""
        try:
            return int(self.image.getexif().get(0x0112, 1))
        except Exception:  # Damaged metadata does not make the image unreadable.
            return 1


@contextmanager
def open_picture(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> Iterator[Picture]:
    """Identify an encoded image, and release its memory on exit.

    Parameters
    ----------
    data : bytes
        Content of the file.
    name : str
        Name for error messages.
    max_pixels : int
        Larger images are rejected.

    Raises
    ------
    InputError
        The data is empty, damaged or of an unknown format.
    TooManyPixelsError
        The image has more than `max_pixels`.
    """
    if not data:
        raise InputError(f"{name} is empty")
    with _quiet, contextlib.closing(identify(data, name)) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise TooManyPixelsError(f"{name} is {width}×{height}; the limit is {max_pixels / 10**6:g} million pixels")
        picture = _prepared(image, data, name)
        if width * height > _MAX_PYTHON_PIXELS and any(
            t[0] in Image.DECODERS for t in getattr(picture.image, "tile", ())
        ):
            raise InputError(
                f"{name} is {width}×{height} {image.format} of a kind that is slow to decode, for which the limit is"
                f" {_MAX_PYTHON_PIXELS // 10**6} million pixels; save it as PNG"
            )
        yield picture


def read_bytes(source: str | Path, what: str) -> bytes:
    """Read a file, or standard input for ``"-"``. Errors contain `what` and the path. Raises `InputError`."""
    if str(source) == "-":
        if sys.stdin is None:
            raise InputError(f"cannot read {what} from standard input: it is closed")
        return sys.stdin.buffer.read()
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {what} {source}: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"cannot read {what} {source!r}: {error}") from error


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Apply an EXIF orientation of 1 to 8 to a (height, width[, channels]) array, if possible in place."""
    if orientation in (5, 6, 7, 8):
        pixels = cv2.transpose(pixels)
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    return pixels if flip is None else cv2.flip(pixels, flip, dst=pixels)


def _prepared(image: Image.Image, data: bytes, name: str) -> Picture:
    """Handle images that Pillow misreads or decodes in a Python loop."""
    if not isinstance(image, ImageFile.ImageFile) or image.format not in ("PNG", "PPM", "TIFF") or not image.tile:
        return Picture(name, image, image.mode)
    tile = image.tile[0]
    arguments = tile.args if isinstance(tile.args, tuple) else (tile.args,)
    samples = str(arguments[0])
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        _silence_libtiff()
        if tile.codec_name == "raw" and image.tag_v2.get(284) == 2 and 16 in image.tag_v2.get(258, ()):
            return Picture(name, _read_planes(image, data, name), f"{image.mode};16")
        if samples.startswith("I;16"):
            return Picture(name, image, samples, inverted=image.tag_v2.get(262) == 0)
    elif image.format == "PPM" and image.mode in ("L", "I", "RGB"):
        maximum = int(arguments[-1]) if len(arguments) == 2 else 255 if image.mode != "I" else 65535
        if tile.codec_name == "ppm":
            image = _read_pnm(image, data, maximum, name)
        return Picture(name, image, samples + ";16" * (maximum > 255), maximum)
    packed = re.fullmatch(r"L;([24])[IR]*", samples)
    return Picture(name, image, samples, 2 ** int(packed[1]) - 1 if packed else None)


def _read_pnm(header: ImageFile.ImageFile, data: bytes, maximum: int, name: str) -> Image.Image:
    """Decode a binary PGM or PPM with any maximum, as Pillow does in a Python loop."""
    shape = (header.height, header.width, 3)[: 3 if header.mode == "RGB" else 2]
    kind, offset = np.dtype(">u2" if maximum > 255 else "u1"), header.tile[0].offset
    if len(data) < offset + math.prod(shape) * kind.itemsize:
        raise InputError(f"{name} is truncated")
    stored = np.frombuffer(data, kind, math.prod(shape), offset).reshape(shape)
    full = 65535 if header.mode == "I" else 255
    pixels = np.empty(shape, np.uint16 if header.mode == "I" else np.uint8)
    for row, samples in zip(pixels, stored, strict=True):
        row[:] = np.minimum((samples.astype(np.uint32) * full + maximum // 2) // maximum, full)
    return Image.fromarray(pixels)


def _read_planes(header: TiffImagePlugin.TiffImageFile, data: bytes, name: str) -> Image.Image:
    """Decode the high bytes of an uncompressed planar 16-bit TIFF. Pillow would take each byte for a pixel."""
    width, height = size = header.tag_v2[256], header.tag_v2[257]
    planes = np.zeros((height, width, len(header.mode)), dtype=np.uint8)
    pitch, high = 2 * header.tag_v2.get(322, width), header.tag_v2.prefix == b"II"
    for _, extents, offset, arguments in header.tile:
        assert extents is not None
        assert isinstance(arguments, tuple)
        left, top, right, bottom = extents
        if len(data) < offset + pitch * (bottom - top):
            raise InputError(f"{name} is truncated")
        if arguments[0] in header.mode:  # Extra planes are ignored.
            stored = np.frombuffer(data, np.uint8, pitch * (bottom - top), offset).reshape(-1, pitch)
            planes[top:bottom, left:right, header.mode.index(arguments[0])] = stored[:, high : 2 * (right - left) : 2]
    image = Image.frombytes(header.mode, size, planes.tobytes())
    image.getexif()[0x0112] = header.tag_v2.get(0x0112, 1)
    return image


@cache
def _silence_libtiff() -> None:
    """Silence libtiff's messages about damaged files, if its library is reachable. Pillow raises anyway."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)
