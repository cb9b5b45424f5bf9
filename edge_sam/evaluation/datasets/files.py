"""Finding the files of a dataset."""

from __future__ import annotations

from pathlib import Path

from edge_sam.errors import InputError
from edge_sam.images import pictures


def pictures_by_stem(folder: Path) -> dict[str, Path]:
    """Find the pictures of a folder by stem, sorted.

    Raises
    ------
    InputError
        There is none, the folder cannot be read, or two differ only in their suffix.
    """
    found: dict[str, Path] = {}
    for path in pictures(folder):
        if path.stem in found:
            raise InputError(f"{folder} has two pictures called {path.stem}: {found[path.stem].name}, {path.name}")
        found[path.stem] = path
    if not found:
        raise InputError(f"{folder} holds no images")
    return found


def mask_of(image: Path, folder: Path) -> Path:
    """Find the mask of a photograph: the PNG of the same stem.

    Raises
    ------
    InputError
        There is none.
    """
    mask = folder / f"{image.stem}.png"
    if not mask.is_file():
        raise InputError(f"image {image} has no mask {mask}")
    return mask


def listed(path: Path) -> list[str]:
    """Read the names in a list of a split, one to a line; what follows a space in a line is left out.

    Raises
    ------
    InputError
        The list cannot be read or is empty.
    """
    try:
        names = [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    if not names:
        raise InputError(f"{path} lists nothing")
    return names
