"""Writing files so that a reader sees the old content or the whole new one, never a part."""

from __future__ import annotations

import contextlib
import os
import tempfile
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
        The system's error; no target was touched unless a rename itself failed.
    """
    staged: list[tuple[Path, Path]] = []
    try:
        for target, data in contents.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
            staged.append((Path(name), target))
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for temporary, target in staged:
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(target)
    finally:
        for temporary, _ in staged:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()


def _umask() -> int:
    # The only portable way to read it is to set it; mkstemp made the file private.
    mask = os.umask(0)
    os.umask(mask)
    return mask
