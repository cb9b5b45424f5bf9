"""Models that a runtime compiled into the cache, trusted only if the guard's verdict names their hashes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from edge_sam.bundles.bundle import file_sha256
from edge_sam.files.cache_home import cache_home, make_private


class CompiledFiles:
    """The compiled files of a model in a runtime. Those that no verdict vouches for are removed first.

    The runtime opens them by path after they were hashed, so they are safe only where others cannot write.

    Parameters
    ----------
    key : str
        See `edge_sam.inference.cache.runtime_key`.
    vouched : mapping of str to str
        sha256 of the files that the guard has checked, by path below the model's folder.
    """

    def __init__(self, key: str, vouched: Mapping[str, str]) -> None:
        self._folder = cache_home() / "compiled" / key
        self._kept: set[str] = set()
        self._usable = True
        try:
            for name, path in self._files():
                if name in vouched and file_sha256(path) == vouched[name]:
                    self._kept.add(name)
                else:
                    path.unlink(missing_ok=True)
        except OSError:  # It cannot be read or removed.
            self._usable = False

    def folder(self, part: str) -> Path | None:
        """Return the folder for a part of the model, which is created. None if the cache cannot be used."""
        try:
            make_private(self._folder / part)
        except OSError:
            return None  # The model is compiled at each start.
        return self._folder / part if self._usable else None

    @property
    def changed(self) -> bool:
        """Whether the runtime has compiled something since."""
        return self._usable and {name for name, _ in self._files()} != self._kept

    def hashes(self) -> dict[str, str]:
        """Return the sha256 of all files by path below the model's folder."""
        found = {}
        for name, path in self._files() if self._usable else ():
            with contextlib.suppress(FileNotFoundError):  # Another process has just replaced it.
                found[name] = file_sha256(path)
        return found

    def _files(self) -> Iterator[tuple[str, Path]]:
        for path in sorted(self._folder.rglob("*")):
            if path.is_symlink() or not path.is_dir():
                yield path.relative_to(self._folder).as_posix(), path
