"""Writing files so that a reader sees the old content or the whole new one, never a part."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Mapping
from pathlib import Path


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Write several files so that a failure (disk full, no permission) leaves none of them behind.

    All contents are written to temporary files beside their targets first and renamed only when every one of
    them is on the disk. Missing folders are made.

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
            if target.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.parent / f".edge-sam-{secrets.token_hex(8)}.part"
            staged.append((temporary, target))
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for temporary, target in staged:
            temporary.replace(target)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from error
    finally:
        for temporary, _ in staged:
            with contextlib.suppress(OSError):
                temporary.unlink()
