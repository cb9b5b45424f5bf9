"""The user's cache folder."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import stat
import tempfile
import warnings
from pathlib import Path

from edge_sam.errors import InputError


def cache_home() -> Path:
    """Return the folder for downloads, guard verdicts and compiled models: ``EDGE_SAM_HOME``, or the user cache.

    A user without a home folder, as in services and containers, gets a temporary folder and a warning.
    """
    given = os.environ.get("EDGE_SAM_HOME")
    try:
        folder = Path(given).expanduser() if given else _user_cache()
    except RuntimeError as error:  # Neither the environment nor the system has a home folder.
        if given:
            raise InputError(f"EDGE_SAM_HOME is {given}, but this user has no home; give an absolute path") from error
        folder = Path("~")  # What older platformdirs return.
    if given:
        return folder
    if folder.is_absolute() and (os.access(folder, os.F_OK) or is_writable(folder)):
        if "XDG_CACHE_HOME" not in os.environ:  # Else the user chose the place.
            _hide_from_others(folder)
        return folder
    try:
        return _temporary_home()
    except OSError:  # Nothing is writable, so nothing is cached.
        return folder


def make_private(folder: Path) -> None:
    """Create a folder of the cache. Others may read it only if they may read the cache, and may never write.

    So an administrator can fill a cache for the users of a machine: in a folder that others may read.

    Raises
    ------
    OSError
        It cannot be created.
    """
    home = cache_home()
    readable = stat.S_IMODE(home.stat().st_mode) & 0o055 if home.is_dir() else 0
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700 | readable, exist_ok=True)


def is_trusted(status: os.stat_result) -> bool:
    """Tell whether nobody but this user and the administrator can have written a file or folder."""
    if not hasattr(os, "getuid"):  # Windows, where the folder's access list decides.
        return True
    return status.st_uid in (0, os.getuid()) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def is_writable(folder: Path) -> bool:
    """Tell whether a folder is writable, or can be created."""
    existing = next(path for path in (folder, *folder.absolute().parents) if os.access(path, os.F_OK))
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


def _user_cache() -> Path:
    import platformdirs

    return platformdirs.user_cache_path("edge-sam")


def _hide_from_others(folder: Path) -> None:
    """Close the cache of an older version, which others could read. What a link leads to stays as it is."""
    with contextlib.suppress(OSError):
        status = folder.lstat()
        if stat.S_ISLNK(status.st_mode):
            return
        if hasattr(os, "getuid") and status.st_uid == os.getuid() and status.st_mode & 0o077:
            folder.chmod(0o700)


@functools.cache
def _temporary_home() -> Path:
    folder = Path(tempfile.gettempdir(), f"edge-sam-{os.getuid()}")
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        folder = Path(tempfile.mkdtemp(prefix="edge-sam-"))  # Another user created it first.
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    message = f"there is no home folder to keep a cache in, so it is in {folder}; set EDGE_SAM_HOME to change that"
    warnings.warn(message, RuntimeWarning, stacklevel=3)
    return folder
