"""Write files atomically: readers see the old content or all of the new content."""

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
"""Longest chain of symbolic links to follow, as in the kernel."""


def write_files(contents: Mapping[Path, bytes], *, mode: int | None = None) -> None:
    """Write several files so that a failure (disk full, no permission) leaves none of them behind.

    Contents are written to temporary files beside their targets, which are renamed once all of them are on disk.
    Missing folders are created. A new file inherits the mode bits of the file it replaces. If a path is a symbolic
    link, its target is replaced. Special files (a FIFO, a device, ``/dev/stdout``) are written to directly.

    Parameters
    ----------
    contents : mapping of Path to bytes
        Content of each file. Existing files are replaced.
    mode : int, optional
        Mode bits of the files. Default: those of the file that is replaced, else what the user's mask leaves.

    Raises
    ------
    OSError
        The system's error with the target's name. No target was touched unless a rename itself failed.
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
            if mode is None:
                _keep_mode(place, temporary)
            else:
                with contextlib.suppress(OSError):  # File systems without modes, such as FAT, refuse.
                    temporary.chmod(mode)
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
    """Return the path of a temporary file that `move_into_place` can rename to `target`."""
    folder = Path(tempfile.gettempdir()) if _is_special(target) else Path(os.path.realpath(target)).parent
    return folder / f".edge-sam-{secrets.token_hex(8)}.part{suffix}"


def move_into_place(finished: Path, target: Path) -> None:
    """Replace `target` with a finished file as `write_files` does. Raises `OSError` with the target's name."""
    try:
        if _is_special(target):
            with finished.open("rb") as source, _open_special(target) as sink:
                shutil.copyfileobj(source, sink)
            finished.unlink()
            return
        place = _followed(target)
        if finished.stat().st_dev != place.parent.stat().st_dev:  # A symbolic link leads to another disk.
            finished = Path(shutil.move(finished, part_beside(place)))
        _keep_mode(place, finished)
        finished.replace(place)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from error


def check_output_folder(folder: Path) -> None:
    """Check that files can be written into a folder, before any work. Nothing is created.

    Raises
    ------
    InputError
        It or one of its parents is a file, or there is no permission.
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
    """Check that a file can be written, before any work; see `check_output_folder`."""
    if _is_special(file):
        if not _allowed(file, os.W_OK):
            raise InputError(f"cannot write {file}: no permission")
        return
    if file.is_dir():
        raise InputError(f"cannot write {file}: it is a folder")
    check_output_folder(Path(os.path.realpath(file)).parent)


def _allowed(path: Path, mode: int) -> bool:
    """Tell whether this process may access a path, with its effective user and capabilities."""
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _followed(target: Path) -> Path:
    """Resolve symbolic links. The resulting file need not exist."""
    place = Path(os.path.realpath(target))
    if place.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return place


def _is_special(target: Path) -> bool:
    """Tell whether a path must be written to directly because it cannot be replaced."""
    return _descriptor(target) is not None or (target.exists() and not (target.is_file() or target.is_dir()))


def _open_special(target: Path) -> IO[bytes]:
    number = _descriptor(target)
    # Reopening /dev/stdout would start at the beginning of its file and overwrite other output.
    return os.fdopen(os.open(target, os.O_WRONLY) if number is None else os.dup(number), "wb")


def _descriptor(target: Path) -> int | None:
    """Return the file descriptor behind ``/dev/stdout``, ``/dev/fd/N`` or a link to one of them, or None."""
    for _ in range(_MOST_LINKS):
        if target.name.isdecimal() and os.path.realpath(target.parent) == os.path.realpath("/dev/fd"):
            return int(target.name)
        if not target.is_symlink():
            return None
        target = target.parent / target.readlink()
    return None


def _keep_mode(place: Path, new: Path) -> None:
    if place.exists():
        shutil.copymode(place, new)
