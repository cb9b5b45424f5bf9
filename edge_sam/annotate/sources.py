"""Sources of photographs: a folder, a glob, a list, the frames of a video."""

from __future__ import annotations

import glob
import os
import posixpath
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import InputError
from edge_sam.files.names import Names, canonical, natural_key
from edge_sam.files.text import read_as_utf8
from edge_sam.imaging.images import SUFFIXES, decode_image, is_picture
from edge_sam.video import VideoFile

LISTS = {".txt", ".lst"}
VIDEOS = {".mp4", ".m4v", ".avi", ".mov", ".mkv", ".webm", ".mpg", ".mpeg"}
_PICTURE = re.compile(
    r"\.(apng|arw|avif|bmp|cr[23]|dds|dib|dng|exr|gif|hdr|hei[cf]s?|hif|icns|ico|j2[ck]|jfif|jp2|jp[efgx]|jpeg|jxl|jxr|mpo"
    r"|nef|orf|p[abgpn]m|pcx|pfm|png|psd|qoi|raf|raw|rw2|sgi|svg|tga|tiff?|webp)"
)
"""Suffixes of pictures. Files with those that are not in `SUFFIXES` are left out of a folder with a warning."""


class Item(NamedTuple):
    """One photograph of a source.

    Attributes
    ----------
    name : str
        Its name in the data set: its path below the source, with forward slashes.
    path : str
        The file.
    frame : int or None
        Number of the frame, from 0, if the file is a video.
    """

    name: str
    path: str
    frame: int | None = None


def name_of(path: str) -> str:
    """Return the name of a listed path in the data set. It is relative and never leaves the data set's folder.

    ``/data/a.jpg`` is ``data/a.jpg``, ``../a.jpg`` and ``b/../a.jpg`` are ``a.jpg``.
    """
    return posixpath.normpath(f"/{Path(path).as_posix()}").lstrip("/")


def open_source(source: str, *, every: int = 1) -> list[Item]:
    """List the photographs of a source in natural order. No pixels are read, but the frames of a video are counted.

    A warning counts the pictures and videos of a folder or glob that are left out because of their suffix.

    Parameters
    ----------
    source : str
        A folder (including subfolders, but not hidden ones), a glob (``"photos/**/*.jpg"``), a list (``.txt``, one path
        per line, relative to the list), a video, or a photograph.
    every : int
        Take every `every`-th frame of a video.

    Returns
    -------
    list of Item
        Names are unique.

    Raises
    ------
    InputError
        The source is empty or cannot be read, or two photographs would have the same name.
    """
    if every < 1:
        raise InputError(f"every must be at least 1, not {every}")
    path = Path(source).absolute()  # Workers on other machines have another working folder.
    suffix = path.suffix.lower()
    left_out = ""
    if path.is_dir():
        items, left_out = _pictures(_below(path), path)
    elif glob.has_magic(source) and not path.exists():
        items, left_out = _matching(path)
    elif not path.is_file():
        raise InputError(f"no such folder, file or glob: {source}")
    elif suffix in LISTS:
        items = _listed(path)
    elif suffix in VIDEOS:
        numbers = range(0, VideoFile(path).count(), every)
        return [Item(name_of(f"{path.stem}/{i:06d}.png"), str(path), i) for i in numbers]
    elif suffix in SUFFIXES:
        items = [Item(path.name, str(path))]
    else:
        raise InputError(f"{source} is neither a photograph, nor a video, nor a list (.txt)")
    if not items:
        raise InputError(f"{source} holds no photographs" + (f"; {left_out}" if left_out else ""))
    if left_out:
        warnings.warn(f"{source}: {left_out}", stacklevel=2)
    items.sort(key=lambda item: (natural_key(item.name), item.path))
    for one, other in pairwise(items):
        if one.name == other.name and one.path != other.path:
            raise InputError(f"{one.path} and {other.path} would both be called {one.name}")
    return list(dict.fromkeys(items))


def _below(folder: Path) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        raise InputError(f"cannot read {error.filename}: {error.strerror}")

    for root, folders, files in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(root, name) for name in files)


def _matching(pattern: Path) -> tuple[list[Item], str]:
    """List the matches of a glob, named relative to its last folder without wildcards."""
    parts = pattern.parts
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    root = Path(*parts[:fixed])
    return _pictures((file for file in root.glob(str(Path(*parts[fixed:]))) if file.is_file()), root)


def _pictures(files: Iterable[Path], root: Path) -> tuple[list[Item], str]:
    """Choose the pictures among files. The text counts the other pictures and videos, which are left out."""
    items, others = [], Counter[str]()
    for file in files:
        if is_picture(file.name):
            items.append(Item(file.relative_to(root).as_posix(), str(file)))
        elif not file.name.startswith(".") and (
            (suffix := file.suffix.lower()) in VIDEOS or _PICTURE.fullmatch(suffix)
        ):
            others[suffix] += 1
    if not others:
        return items, ""
    kinds = ", ".join(
        f"{count} {suffix}" for suffix, count in sorted(others.items(), key=lambda kind: (-kind[1], kind[0]))
    )
    return items, f"{others.total()} file{'s are' if others.total() > 1 else ' is'} left out: {kinds}"


def _listed(path: Path) -> list[Item]:
    try:
        lines = read_as_utf8(path).decode().split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"cannot read {path}: {error}") from error
    below, items = Names(path.parent), []
    for name in filter(None, map(str.strip, lines)):
        # A missing photograph is detected when it is read, like a damaged one.
        spelt = path.parent / name
        file = below.find(name) or spelt
        item = Item(name_of(name if file == spelt else canonical(name)), str(file))
        if not item.name:
            raise InputError(f"{path} lists {name}, which is not a file")
        items.append(item)
    return items


class Reader:
    """Reads items. It keeps a video open, so that frames in order need no seek."""

    def __init__(self) -> None:
        self._video: tuple[str, VideoFile] | None = None

    def read(self, item: Item) -> NDArray[np.uint8]:
        """Read one item as RGB, (height, width, 3).

        Raises
        ------
        InputError
            The item is damaged.
        OSError
            The file cannot be read now.
        """
        if item.frame is None:
            return decode_image(Path(item.path).read_bytes(), item.path)
        if self._video is None or self._video[0] != item.path:
            self._video = (item.path, VideoFile(Path(item.path)))
        return self._video[1].frame(item.frame)
