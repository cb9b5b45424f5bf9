"""The files of a dataset."""

from __future__ import annotations

from pathlib import Path

from edge_sam.errors import InputError
from edge_sam.files.names import Names, canonical
from edge_sam.files.text import read_as_utf8
from edge_sam.imaging.images import pictures


def pictures_by_stem(folder: Path) -> dict[str, Path]:
    """Find the pictures of a folder by stem (in Unicode's composed form, NFC), in natural order.

    Raises
    ------
    InputError
        The folder has no pictures or cannot be read, or two pictures differ only in their suffix.
    """
    found: dict[str, Path] = {}
    for path in pictures(folder):
        stem = canonical(path.stem)
        if stem in found:
            raise InputError(f"{folder} has two pictures called {stem}: {found[stem].name}, {path.name}")
        found[stem] = path
    if not found:
        raise InputError(f"{folder} holds no images")
    return found


def mask_of(image: Path, masks: Names) -> Path:
    """Find the mask of a photograph: the PNG with the same stem.

    Raises
    ------
    InputError
        There is no such file.
    """
    name = f"{image.stem}.png"
    mask = masks.find(name)
    if mask is None or not mask.is_file():
        raise InputError(f"image {image} has no mask {masks.folder / name}")
    return mask


def listed(path: Path) -> list[str]:
    """Read the list of a split, one name per line. Text after a space is ignored.

    Raises
    ------
    InputError
        The list cannot be read or is empty.
    """
    try:
        lines = read_as_utf8(path).decode().splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8: {error}") from error
    return [line.split()[0] for line in lines if line.strip()]
