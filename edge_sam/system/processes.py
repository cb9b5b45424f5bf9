"""Child Python processes that import nothing from the working folder, and readable reasons for their exit."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_PACKAGE = Path(__file__).parent.parent
_RUN = """
import sys
sys.path[:] = {path}
from runpy import run_module
run_module({module!r}, run_name="__main__", alter_sys=True)
"""
"""Like `python -m`, but with a given `sys.path`. Python puts the working folder first and has a flag against that only
since 3.11. `sys` is built in, so importing it is safe."""


def python_command(module: str) -> list[str]:
    """Return the command that runs one of our modules in a child process; append arguments to it.

    The child has this process's import path without the working folder, which may be a dataset with a ``json.py``.
    """
    here = str(Path.cwd())
    path = [folder for folder in sys.path if folder not in ("", here)]
    path += [folder for folder in (str(_PACKAGE.parent),) if folder not in path]
    return [sys.executable, "-c", _RUN.format(path=path, module=module)]


def stderr_file() -> IO[bytes]:
    """Return a file for a child's standard error: a pipe that nobody reads would fill up.

    Where no temporary file can be written (a full disk, a read-only system), what the child says is lost.
    """
    try:
        return tempfile.TemporaryFile()
    except OSError:
        return Path(os.devnull).open("w+b")


@contextlib.contextmanager
def outside_working_folder() -> Iterator[str]:
    """Change to a folder without Python files or settings while a library starts processes or reads its settings.

    Python processes import from the folder they start in, and matplotlib reads its settings there. Yields the previous
    working folder, so that such a process can change to it after its start.
    """
    here = str(Path.cwd())
    os.chdir(_PACKAGE / "bundles")
    try:
        yield here
    finally:
        os.chdir(here)


def reason_of_end(code: int, stderr: bytes) -> str:
    """Describe how a process ended, with the last line of its standard error, which usually has the cause."""
    how = f"ended with exit code {code}"
    if code < 0:
        names = {number.value: number.name for number in signal.Signals}
        how = f"was killed by {names.get(-code, f'signal {-code}')}"
    lines = stderr.decode(errors="replace").split("\n")
    last = next((" ".join(line.split()) for line in reversed(lines) if line.strip()), "")
    return f"{how}: {last}" if last else how
