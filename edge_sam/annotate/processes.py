"""Starting processes that import nothing from the working folder, which may be a data set that was downloaded."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def away_from_working_folder() -> Iterator[str]:
    """Be in a folder of Python's own, and give the one before, to which a process can go once it has started.

    ``python -c``, by which `multiprocessing` starts its processes, looks for modules in the working folder first, and
    so do the workers of Ray.
    """
    before = os.getcwd()  # noqa: PTH109 (text, because it is handed to other processes)
    os.chdir(sys.prefix)
    try:
        yield before
    finally:
        os.chdir(before)
