"""Models that a runtime compiled into the cache, trusted only if the guard's verdict names their hashes."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edge_sam.bundles.bundle import file_sha256
from edge_sam.files.cache_home import cache_home, make_private

if TYPE_CHECKING:
    from filelock import FileLock

_SILENT = 5.0
"""Seconds to wait for another process before the user is told."""
_PATIENCE = 600.0
"""Seconds after which the other process counts as hung. Then the model is compiled for this start alone."""
_log = logging.getLogger("edge_sam")


class CompiledFiles:
    """The compiled files of a model in a runtime.

    The runtime opens them by path after they were hashed, so they are safe only where others cannot write.

    Parameters
    ----------
    key : str
        See `edge_sam.inference.cache.runtime_key`.
    """

    def __init__(self, key: str) -> None:
        self._folder = cache_home() / "compiled" / key
        self._kept: dict[str, tuple[int, int]] = {}
        self._usable = True

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from compiling the same model until the guard's verdict on it is written.

        Otherwise one would remove what another has just compiled, or load half of it. A cache that is not writable
        needs no lock, because nothing is compiled into it.
        """
        lock = self._lock()
        try:
            yield
        finally:
            if lock is not None:
                lock.release()

    def match(self, vouched: Mapping[str, str]) -> bool:
        """Tell whether the files are the ones that the guard has checked, so that the runtime compiles nothing.

        Parameters
        ----------
        vouched : mapping of str to str
            sha256 of the files that the guard has checked, by path below the model's folder.
        """
        try:
            same = self.hashes() == vouched
        except OSError:  # It cannot be read.
            return False
        if same:
            self._kept = self._states()
        return same

    def keep_only(self, vouched: Mapping[str, str]) -> None:
        """Remove all files but those that the guard has checked; see `match`. Needs `alone`."""
        if not self._usable:
            return
        try:
            for name, path in self._files():
                if name not in vouched or file_sha256(path) != vouched[name]:
                    path.unlink(missing_ok=True)
            self._kept = self._states()
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
        return self._usable and self._states() != self._kept

    def hashes(self) -> dict[str, str]:
        """Return the sha256 of all files by path below the model's folder."""
        found = {}
        for name, path in self._files() if self._usable else ():
            with contextlib.suppress(FileNotFoundError):  # A version without this lock has just replaced it.
                found[name] = file_sha256(path)
        return found

    def _states(self) -> dict[str, tuple[int, int]]:
        """Return size and time of the last change of each file."""
        found = {}
        for name, path in self._files():
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                found[name] = status.st_size, status.st_mtime_ns
        return found

    def _lock(self) -> FileLock | None:
        """Wait for the lock. None if nothing can be locked, or if another load holds it for too long."""
        try:
            from filelock import FileLock, Timeout  # A board that runs a bundle does without it.
        except ModuleNotFoundError:
            return None
        try:
            make_private(self._folder.parent)
            lock = FileLock(f"{self._folder}.lock")
            try:
                lock.acquire(timeout=_SILENT)
            except Timeout:
                _log.warning("waiting for another load, which compiles this model into %s", self._folder)
                lock.acquire(timeout=_PATIENCE - _SILENT)
        except Timeout:
            self._usable = False
            return None
        except (OSError, NotImplementedError):
            return None
        return lock

    def _files(self) -> Iterator[tuple[str, Path]]:
        for path in sorted(self._folder.rglob("*")):
            if path.is_symlink() or not path.is_dir():
                yield path.relative_to(self._folder).as_posix(), path
