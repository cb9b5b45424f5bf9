"""Identify an image's format with Pillow, and explain why Pillow does not open it."""

from __future__ import annotations

import io
import re
import struct

from PIL import Image, TiffImagePlugin, TiffTags

from edge_sam.errors import InputError

_REFUSED = {"EPS": "a drawing", "WMF": "a drawing", "BLP": "a texture", "DDS": "a texture", "FTEX": "a texture"}
"""Formats that are not photographs. Pillow runs another program for drawings, and decodes textures in Python, which
takes seconds for each megapixel."""
_TOO_SHORT = (struct.error, IndexError, EOFError)
"""Errors of Pillow's plugins for a truncated header."""
_MOST_CHANNELS = 8
"""Most channels of a TIFF in an error message."""
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})


def identify(data: bytes, name: str) -> Image.Image:
    """Read the header of an encoded image. Nothing is decoded.

    Raises
    ------
    InputError
        The format is unknown or not supported, or the header is damaged.
    """
    image: Image.Image
    try:
        image = Image.open(io.BytesIO(data))
    except MemoryError:
        raise
    except Exception:  # Pillow does not say which plugin knew the format, nor why it failed.
        image = _open_with_reason(data, name)
    if image.format in _REFUSED:
        raise InputError(f"{name} is {image.format}, {_REFUSED[image.format]} and not a photograph; save it as PNG")
    return image


def printable_reason(error: Exception) -> str:
    """Return an error's text in printable ASCII, shortened, or its class name if it has no text."""
    return re.sub(r"[^ -~]+", " ", str(error)).strip()[:200] or type(error).__name__


def _open_with_reason(data: bytes, name: str) -> Image.Image:
    """Try each plugin that accepts the first bytes. Returns an image if only Pillow's own size limit failed."""
    brands = _brands(data)
    if brands & _HEIF_BRANDS and b"avif" not in brands:
        return _open_heif(data, name)
    Image.init()
    for form in Image.ID:
        factory, accept = Image.OPEN[form]
        known = accept is not None and accept(data[:16].ljust(16))
        if isinstance(known, str):  # Pillow was built without the library.
            raise InputError(f"{name} cannot be opened: {known}")
        if not known:
            continue
        try:
            return factory(io.BytesIO(data), "")
        except MemoryError:
            raise
        except Exception as error:
            if not printable_reason(error).startswith("not a"):  # After "not a PPM file" another plugin may match.
                raise InputError(f"{name} cannot be opened as {form}: {_why_not(form, data, error)}") from error
    raise InputError(f"{name} is not an image in a format that Pillow reads")


def _why_not(form: str, data: bytes, error: Exception) -> str:
    """Return Pillow's error text, or a better one if that is unclear."""
    text = printable_reason(error)
    whole = {"WEBP": int.from_bytes(data[4:8], "little") + 8, "PNG": 26, "GIF": 10}
    if len(data) < whole.get(form, 0):
        return "it is truncated"
    if isinstance(error, _TOO_SHORT) or isinstance(error.__cause__, _TOO_SHORT):
        return "its header is truncated or damaged"
    if isinstance(error.__cause__, KeyError):
        text = f"tag or value {text} is missing or unknown"
    elif text == "not identified by this driver":
        text = "no pixels, or pixels of no known kind"
        if form == "PNG" and data[12:16] == b"IHDR":
            text += " ({}×{}, {} bits, colour type {})".format(*struct.unpack_from(">IIBB", data, 16))
        elif form == "GIF":
            text += " ({}×{})".format(*struct.unpack_from("<HH", data, 6))
    return text + (_tiff_layout(data) if form == "TIFF" else "")


def _tiff_layout(data: bytes) -> str:
    """Describe the pixel format of a TIFF in brackets; empty if its directory is unreadable."""
    stream = io.BytesIO(data)
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(stream.read(16 if data[2:4] in (b"+\0", b"\0+") else 8))
        stream.seek(tags.next)
        tags.load(stream)
        names = {value: key for key, value in TiffTags.lookup(262).enum.items()}
        kind = {1: "unsigned", 2: "signed", 3: "floating-point"}.get(tags.get(339, (1,))[0], "other")
        bits = "+".join(map(str, tags.get(258, (1,))[:_MOST_CHANNELS]))
        colours = names.get(tags[262], tags[262])
    except Exception:  # The file may be damaged.
        return ""
    return f" ({colours}, {kind} samples of {bits} bits)"


def _brands(data: bytes) -> set[bytes]:
    """Return the brands of an ISO base media file (HEIF, AVIF or video); empty for other files."""
    if data[4:8] != b"ftyp":
        return set()
    box = data[8 : min(int.from_bytes(data[:4], "big"), 256)]
    return {box[i : i + 4] for i in range(0, len(box), 4)}


def _open_heif(data: bytes, name: str) -> Image.Image:
    try:
        from pillow_heif import HeifImageFile  # Used directly, because registering it would affect the whole program.
    except ImportError as error:
        raise InputError(f'{name} is HEIC; to read it: pip install "edge-sam[heif]"') from error
    try:
        image: Image.Image = HeifImageFile(io.BytesIO(data))
    except MemoryError:
        raise
    except Exception as error:
        raise InputError(f"{name} cannot be opened as HEIC: {printable_reason(error)}") from error
    return image
