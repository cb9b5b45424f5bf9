"""File names: natural order, and lookup of names that another system spelled differently."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

_LONGEST = 255
"""Longest file name on common file systems. Normalising longer names would take quadratic time."""


def natural_key(name: str) -> tuple[str, str]:
    """Return a sort key that orders numbers in names by value: ``frame2`` before ``frame10``."""
    return re.sub("0*([0-9]+)", lambda digits: f"{len(digits[1]):06}{digits[1]}", name), name


def canonical(name: str) -> str:
    """Return a relative path with NFC characters (macOS decomposes them) and forward slashes."""
    parts = name.replace("\\", "/").split("/")
    return "/".join(unicodedata.normalize("NFC", part) if len(part) <= _LONGEST else part for part in parts)


class Names:
    """Finds files below a folder by names that may be spelled differently (see `canonical`).

    Parameters
    ----------
    folder : Path
        The folder. It is listed once, when the first name does not match exactly.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._entries: dict[Path, dict[str, str]] = {}

    def find(self, name: str) -> Path | None:
        """Return the file or folder of a relative path, or None."""
        path = self.folder
        if _exists(path / name):
            return path / name
        parts = canonical(name).split("/")
        if not parts[0]:  # An absolute path.
            return None
        for part in parts:
            entry = part if part in ("", ".", "..") else self._below(path).get(part)
            if entry is None:
                return None
            path /= entry
        return path

    def _below(self, folder: Path) -> dict[str, str]:
        if folder not in self._entries:
            try:
                self._entries[folder] = {canonical(path.name): path.name for path in folder.iterdir()}
            except (OSError, ValueError):
                self._entries[folder] = {}
        return self._entries[folder]


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # Not a valid file name: too long or with a null character.
        return False
