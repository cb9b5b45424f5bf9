"""Text files in the encodings that editors and shells write, and text that is safe to show."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from edge_sam.errors import InputError

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Characters that act on a terminal or reorder what it shows, instead of being shown."""


def printable(text: str) -> str:
    r"""Show control characters as escapes (``\x1b``): file names may contain terminal control codes."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def read_as_utf8(path: Path) -> bytes:
    """Return a text file as UTF-8 without a byte order mark.

    Parameters
    ----------
    path : Path
        UTF-8, with or without a byte order mark, or UTF-16 with one, as PowerShell writes it.

    Raises
    ------
    InputError
        The file cannot be read, is empty, or is not text in one of these encodings.
    """
    try:
        data = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        if data.startswith(_UTF16):
            data = data.decode("utf-16").encode()
    except UnicodeError as error:
        raise InputError(f"{path} is damaged UTF-16: {error}") from error
    if b"\0" in data:
        raise InputError(f"{path} is not text: it has null bytes; save it as UTF-8")
    if not data or data.isspace():
        raise InputError(f"{path} is empty")
    return data
