"""Which format a file has, as Pillow knows it, and why Pillow does not open it."""

from __future__ import annotations

import io
import re
import struct

from PIL import Image, TiffImagePlugin, TiffTags

from edge_sam.errors import InputError

_REFUSED = {"EPS": "a drawing", "WMF": "a drawing", "BLP": "a texture", "DDS": "a texture", "FTEX": "a texture"}
"""Formats that are no photographs. Drawings are programs that Pillow has run by another one; textures, which it decodes
in Python, take it seconds a megapixel."""
_TOO_SHORT = (struct.error, IndexError, EOFError)
"""What Pillow's plugins meet where a header goes beyond the file."""
_MOST_CHANNELS = 8
"""Of a TIFF that are named in an error."""
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})


def identify(data: bytes, name: str) -> Image.Image:
    """Read the header of an encoded picture. Nothing is decoded.

    Raises
    ------
    InputError
        It is of no format that is read, or its header is damaged.
    """
    image: Image.Image
    try:
        image = Image.open(io.BytesIO(data))
    except MemoryError:
        raise
    except Exception:  # Pillow keeps to itself which plugin knew the format, and what it found.
        image = _open_with_reason(data, name)
    if image.format in _REFUSED:
        raise InputError(f"{name} is {image.format}, {_REFUSED[image.format]} and no photograph; save it as PNG")
    return image


def one_line(error: Exception) -> str:
    """Give an error's text, or its kind where it has none. What it quotes of the file is cut and made harmless."""
    return re.sub(r"[^ -~]+", " ", str(error)).strip()[:200] or type(error).__name__


def _open_with_reason(data: bytes, name: str) -> Image.Image:
    """Ask each plugin that knows the first bytes. A picture comes back where only Pillow's own limit was in the way."""
    brands = _brands(data)
    if brands & _HEIF_BRANDS and b"avif" not in brands:
        return _open_heif(data, name)
    Image.init()
    for form in Image.ID:
        factory, accept = Image.OPEN[form]
        known = accept is not None and accept(data[:16].ljust(16))
        if isinstance(known, str):  # This Pillow is built without the library for it.
            raise InputError(f"{name} cannot be opened: {known}")
        if not known:
            continue
        try:
            return factory(io.BytesIO(data), "")
        except MemoryError:
            raise
        except Exception as error:
            if not one_line(error).startswith("not a"):  # As in "not a PPM file": another plugin may know it.
                raise InputError(f"{name} cannot be opened as {form}: {_why_not(form, data, error)}") from error
    raise InputError(f"{name} is not an image in a format that Pillow reads")


def _why_not(form: str, data: bytes, error: Exception) -> str:
    """Say what Pillow says, or what it found where that says nothing."""
    text = one_line(error)
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
    """Say how a TIFF stores its pixels, in brackets; nothing where the directory cannot be read."""
    stream = io.BytesIO(data)
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(stream.read(16 if data[2:4] in (b"+\0", b"\0+") else 8))
        stream.seek(tags.next)
        tags.load(stream)
        names = {value: key for key, value in TiffTags.lookup(262).enum.items()}
        kind = {1: "unsigned", 2: "signed", 3: "floating-point"}.get(tags.get(339, (1,))[0], "other")
        bits = "+".join(map(str, tags.get(258, (1,))[:_MOST_CHANNELS]))
        colours = names.get(tags[262], tags[262])
    except Exception:  # Damaged, as the file may be.
        return ""
    return f" ({colours}, {kind} samples of {bits} bits)"


def _brands(data: bytes) -> set[bytes]:
    """Give the brands of a file of the ISO base media format, which HEIF, AVIF and videos are; of others none."""
    if data[4:8] != b"ftyp":
        return set()
    box = data[8 : min(int.from_bytes(data[:4], "big"), 256)]
    return {box[i : i + 4] for i in range(0, len(box), 4)}


def _open_heif(data: bytes, name: str) -> Image.Image:
    try:
        from pillow_heif import HeifImageFile  # Used as it is: registered, it would open HEIF for the whole program.
    except ImportError as error:
        raise InputError(f'{name} is HEIC; to read it: pip install "edge-sam[heif]"') from error
    try:
        image: Image.Image = HeifImageFile(io.BytesIO(data))
    except MemoryError:
        raise
    except Exception as error:
        raise InputError(f"{name} cannot be opened as HEIC: {one_line(error)}") from error
    return image
