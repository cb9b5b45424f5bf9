"""Whether files are still those that were read before."""

from __future__ import annotations

from pathlib import Path


def file_identity(*paths: Path) -> tuple[tuple[int, ...], ...]:
    """Return what changes when one of these files is written, replaced or renamed. Nothing for one that is missing."""
    return tuple(_of_one(path) for path in paths)


def _of_one(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
