"""Python processes: they import nothing from the working folder, and their end has a reason in words."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

_PACKAGE = Path(__file__).parent.parent
_RUN = """
import sys
sys.path[:] = {path}
from runpy import run_module
run_module({module!r}, run_name="__main__", alter_sys=True)
"""
"""What `python -m` does, but for `sys.path`: Python puts the working folder first there, and has a flag against that
only since 3.11. `sys` itself is no file."""


def python_command(module: str) -> list[str]:
    """Return the command that runs a module of ours in a process of its own, for arguments to be added.

    The process finds what this one finds, less what lies in the working folder: that may be a data set from anywhere,
    with a file ``json.py`` in it.
    """
    here = str(Path.cwd())
    path = [folder for folder in sys.path if folder not in ("", here)]
    path += [folder for folder in (str(_PACKAGE.parent),) if folder not in path]
    return [sys.executable, "-c", _RUN.format(path=path, module=module)]


@contextlib.contextmanager
def outside_working_folder() -> Iterator[str]:
    """Be in a folder without any Python or settings, while a library starts processes or looks for its settings.

    Python processes import from where they start, and matplotlib reads its settings from there. Yields the working
    folder, to which such a process can go once it has started.
    """
    here = str(Path.cwd())
    os.chdir(_PACKAGE / "bundles")
    try:
        yield here
    finally:
        os.chdir(here)


def reason_of_end(code: int, stderr: bytes) -> str:
    """Say how a process ended, with the last line of its standard error, where the cause stands."""
    how = f"ended with exit code {code}"
    if code < 0:
        names = {number.value: number.name for number in signal.Signals}
        how = f"was ended by {names.get(-code, f'signal {-code}')}"
    lines = stderr.decode(errors="replace").split("\n")
    last = next((" ".join(line.split()) for line in reversed(lines) if line.strip()), "")
    return f"{how}: {last}" if last else how
