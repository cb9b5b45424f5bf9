"""Names of files: their natural order, and finding a file by a name that another system wrote."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

_LONGEST = 255
"""Characters of a file's name on common file systems. Composing a longer one takes quadratic time for nothing."""


def natural_key(name: str) -> tuple[str, str]:
    """Sort numbers within names by their value: ``frame2`` comes before ``frame10``."""
    return re.sub("0*([0-9]+)", lambda digits: f"{len(digits[1]):06}{digits[1]}", name), name


def canonical(name: str) -> str:
    """Spell a relative path in one way: characters composed (NFC; macOS decomposes them), slashes forward."""
    parts = name.replace("\\", "/").split("/")
    return "/".join(unicodedata.normalize("NFC", part) if len(part) <= _LONGEST else part for part in parts)


class Names:
    """Finds what lies below a folder by names that may be spelt otherwise (see `canonical`).

    Parameters
    ----------
    folder : Path
        It is read when a name is not there as it is spelt, and once for all names.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._entries: dict[Path, dict[str, str]] = {}

    def find(self, name: str) -> Path | None:
        """Give the file or folder of a relative path, None where there is none."""
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
    except (OSError, ValueError):  # A name that no file can have: too long, or with a null character.
        return False
