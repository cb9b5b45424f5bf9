"""Writing files so that a reader sees the old content or the whole new one, never a part."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from edge_sam.errors import InputError

_MOST_LINKS = 40
"""Symbolic links from one to the next that are followed, as the kernel does."""


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Write several files so that a failure (disk full, no permission) leaves none of them behind.

    All contents are written to temporary files beside their targets first and renamed only when every one of
    them is on the disk. Missing folders are made. A file that is replaced passes on its mode bits; of a symbolic link
    the target is replaced. What is no regular file (a FIFO, a device, ``/dev/stdout``) stays and gets the bytes.

    Parameters
    ----------
    contents : mapping of Path to bytes
        What to write where. Existing files are replaced.

    Raises
    ------
    OSError
        The system's error with the target's name; no target was touched unless a rename itself failed.
    """
    staged: list[tuple[Path, Path]] = []
    target = Path()
    try:
        for target, data in contents.items():
            if _is_special(target):
                continue
            place = _followed(target)
            if place.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            place.parent.mkdir(parents=True, exist_ok=True)
            temporary = part_beside(place)
            staged.append((temporary, place))
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            _keep_mode(place, temporary)
        for target in filter(_is_special, contents):
            with _open_special(target) as file:
                file.write(contents[target])
        for temporary, target in staged:
            temporary.replace(target)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from error
    finally:
        for temporary, _ in staged:
            with contextlib.suppress(OSError):
                temporary.unlink()


def part_beside(target: Path, suffix: str = "") -> Path:
    """Name a temporary file that `move_into_place` can rename to `target` once it is whole."""
    folder = Path(tempfile.gettempdir()) if _is_special(target) else Path(os.path.realpath(target)).parent
    return folder / f".edge-sam-{secrets.token_hex(8)}.part{suffix}"


def move_into_place(finished: Path, target: Path) -> None:
    """Let a finished file take the place of `target` as `write_files` does. Raises `OSError` with the target's name."""
    try:
        if _is_special(target):
            with finished.open("rb") as source, _open_special(target) as sink:
                shutil.copyfileobj(source, sink)
            finished.unlink()
            return
        place = _followed(target)
        if finished.stat().st_dev != place.parent.stat().st_dev:  # A link leads to another disk.
            finished = Path(shutil.move(finished, part_beside(place)))
        _keep_mode(place, finished)
        finished.replace(place)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from error


def check_output_folder(folder: Path) -> None:
    """Find out before the work whether files can be written into a folder. Nothing is made.

    Raises
    ------
    InputError
        A file is in its place or above it, or the system does not allow it.
    """
    if str(folder) == "-":
        raise InputError("cannot write several files to standard output; give a folder instead of -")
    place = Path(os.path.realpath(folder))
    there = next(path for path in (place, *place.parents) if os.path.lexists(path))
    if not there.is_dir():
        raise InputError(f"cannot write into {folder}: {there} is not a folder")
    if not _allowed(there, os.W_OK | os.X_OK):
        raise InputError(f"cannot write into {folder}: no permission to write in {there}")


def check_output_file(file: Path) -> None:
    """Find out before the work whether a file can be written; see `check_output_folder`."""
    if _is_special(file):
        if not _allowed(file, os.W_OK):
            raise InputError(f"cannot write {file}: no permission")
        return
    if file.is_dir():
        raise InputError(f"cannot write {file}: it is a folder")
    check_output_folder(Path(os.path.realpath(file)).parent)


def _allowed(path: Path, mode: int) -> bool:
    """Tell whether the system allows it to the user, with the capabilities, that this process has now."""
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _followed(target: Path) -> Path:
    """Follow links to the file that they mean, which need not be there."""
    place = Path(os.path.realpath(target))
    if place.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return place


def _is_special(target: Path) -> bool:
    """Tell whether bytes must go through a path, because nothing can take its place."""
    return _descriptor(target) is not None or (target.exists() and not (target.is_file() or target.is_dir()))


def _open_special(target: Path) -> IO[bytes]:
    number = _descriptor(target)
    # Opened anew, /dev/stdout would begin at its file's start and overwrite what other output is there.
    return os.fdopen(os.open(target, os.O_WRONLY) if number is None else os.dup(number), "wb")


def _descriptor(target: Path) -> int | None:
    """Give the number of the open file that ``/dev/stdout``, ``/dev/fd/N`` or a link to one of them stands for."""
    for _ in range(_MOST_LINKS):
        if target.name.isdecimal() and os.path.realpath(target.parent) == os.path.realpath("/dev/fd"):
            return int(target.name)
        if not target.is_symlink():
            return None
        target = target.parent / target.readlink()
    return None


def _keep_mode(place: Path, successor: Path) -> None:
    if place.exists():
        shutil.copymode(place, successor)
