"""Encoded pictures, some of them by hand: the kinds that no library writes."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageOps

from edge_sam.errors import InputError
from edge_sam.imaging.images import decode_image

FORMATS = ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"]
DEEP = np.random.default_rng(0).integers(0, 1 << 16, (20, 30, 4)).astype(np.uint16)
HIGH = (DEEP >> 8).astype(np.uint8)
"""Pixels of 16 bits, and their upper halves."""


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    """Let Pillow encode a picture."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of these chunks."""
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def ihdr(width: int, height: int, bits: int, colours: int) -> tuple[bytes, bytes]:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0)


def rows(samples: np.ndarray, bits: int) -> bytes:
    """Pack (height, width[, channels]) as PNG and TIFF do: most significant bit first, each row from a byte on."""
    flat = samples.reshape(len(samples), -1)
    if bits == 16:
        return flat.astype(">u2").tobytes()
    planes = (flat[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(planes.reshape(len(flat), -1).astype(np.uint8), axis=1).tobytes()


def idat(samples: np.ndarray, bits: int) -> bytes:
    """Pixels of a PNG without filters, compressed."""
    packed = rows(samples, bits)
    width = len(packed) // len(samples)
    return zlib.compress(b"".join(b"\0" + packed[i : i + width] for i in range(0, len(packed), width)))


def grey_png(samples: np.ndarray, bits: int) -> bytes:
    height, width = samples.shape
    return png(ihdr(width, height, bits, 0), (b"IDAT", idat(samples, bits)), (b"IEND", b""))


def tiff(
    samples: np.ndarray, bits: int, *, photometric: int, order: str = "<", planar: bool = False, **more: int
) -> bytes:
    """A TIFF of one strip, or one for each plane, that is not compressed.

    Of samples (height, width[, channels]); `order` is ``"<"`` or ``">"``; `more` are tags by number: ``t339=3``.
    """
    stack = samples[..., None] if samples.ndim == 2 else samples
    height, width, channels = stack.shape
    layers = list(np.moveaxis(stack, -1, 0)) if planar else [stack]
    packed = [
        (layer.byteswap() if order == ">" else layer).tobytes()
        if layer.dtype.itemsize * 8 == bits
        else rows(layer, bits)
        for layer in layers
    ]
    starts = 8 + np.cumsum([0, *(len(part) for part in packed)])
    tags: Mapping[int, Sequence[int]] = {
        256: [width],
        257: [height],
        258: [bits] * channels,
        259: [1],
        262: [photometric],
        273: starts[:-1].tolist(),
        277: [channels],
        278: [height],
        279: [len(part) for part in packed],
        284: [2 if planar else 1],
        **{int(tag[1:]): [value] for tag, value in more.items()},
    }
    entries, extra = [], b""
    after = int(starts[-1]) + 2 + 12 * len(tags) + 4
    for tag, values in sorted(tags.items()):
        data = struct.pack(f"{order}{len(values)}I", *values)
        place = data
        if len(values) > 1:
            place = struct.pack(f"{order}I", after + len(extra))
            extra += data
        entries.append(struct.pack(f"{order}HHI", tag, 4, len(values)) + place)
    head = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, int(starts[-1]))
    directory = struct.pack(f"{order}H", len(tags)) + b"".join(entries) + b"\0\0\0\0"
    return head + b"".join(packed) + directory + extra


def pnm(samples: np.ndarray, maximum: int, *, plain: bool = False) -> bytes:
    """A PGM of (height, width), or a PPM of (height, width, 3)."""
    kind = {(2, False): 5, (3, False): 6, (2, True): 2, (3, True): 3}[samples.ndim, plain]
    head = b"P%d\n%d %d\n%d\n" % (kind, samples.shape[1], samples.shape[0], maximum)
    if plain:
        return head + " ".join(map(str, samples.ravel().tolist())).encode() + b"\n"
    return head + samples.astype(">u2" if maximum > 255 else "u1").tobytes()


def as_pillow_has_it(data: bytes) -> np.ndarray:
    """RGB as Pillow gives it, by the usual calls."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def read_or_why(data: bytes) -> np.ndarray | str:
    """The photograph, or the reason why there is none."""
    try:
        return decode_image(data, "photo")
    except InputError as error:
        return str(error)
