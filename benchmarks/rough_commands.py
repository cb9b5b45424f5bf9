"""Commands of `edge-sam` in processes of their own, and what is wrong with how they ended."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

PHOTOGRAPHS = Path(__file__).parent.parent / "examples" / "photographs"
COFFEE = PHOTOGRAPHS / "coffee.png"
SEGMENT = ("segment", str(COFFEE), "--box", "76,18,478,390", "--long-side", "256", "--output")
"""Followed by the folder of the masks."""
_LONGEST = 300


class Done(NamedTuple):
    """How a command ended, and what it printed on standard error."""

    code: int
    stderr: str

    @property
    def fault(self) -> str:
        """What is wrong with it, or nothing: a failure has the exit code 1 or 2 and one line of error."""
        errors = [line for line in self.stderr.splitlines() if line.startswith("error: ")]
        if "Traceback" in self.stderr:
            return "traceback"
        if self.code == 0:
            return "" if not errors else "error, but exit code 0"
        return "" if self.code in (1, 2) and len(errors) == 1 else f"exit code {self.code}, {len(errors)} errors"

    @property
    def line(self) -> str:
        """The line of error, or how it ended."""
        lines = [line for line in self.stderr.splitlines() if line.startswith("error: ")]
        return lines[-1] if lines else f"exit code {self.code}"


def start(
    *arguments: str, cwd: Path, stdout: Path | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start a command. Its output goes into the file `stdout`, by default nowhere."""
    program = [sys.executable, "-c", "from edge_sam.cli import main; main()", *arguments]
    with Path(os.devnull if stdout is None else stdout).open("w") as out:
        return subprocess.Popen(
            program, cwd=cwd, env={**os.environ, **(environment or {})}, stdout=out, stderr=subprocess.PIPE, text=True
        )


def finish(process: subprocess.Popen[str]) -> Done:
    """Wait for a command."""
    try:
        _, stderr = process.communicate(timeout=_LONGEST)
    except subprocess.TimeoutExpired:
        process.kill()
        return Done(-9, f"no end within {_LONGEST} s")
    return Done(process.returncode, stderr)


def run(*arguments: str, cwd: Path, stdout: Path | None = None, environment: Mapping[str, str] | None = None) -> Done:
    """Run a command; see `start`."""
    return finish(start(*arguments, cwd=cwd, stdout=stdout, environment=environment))


def content(folder: Path) -> dict[str, str]:
    """Return the sha256 of all files of a folder by path below it, without the times that reports have in them."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in ("report.json", "lock", ".lock")]
    return {str(path.relative_to(folder)): hashlib.sha256(_timeless(path)).hexdigest() for path in files}


def _timeless(file: Path) -> bytes:
    data = file.read_bytes()
    return re.sub(rb'"seconds": ?[0-9.]+', b"", data) if file.suffix == ".json" else data


class Report:
    """Prints a line for each situation, and remembers whether one went wrong."""

    def __init__(self) -> None:
        self.failed = False

    def __call__(self, situation: str, faults: list[str], told: str) -> None:
        """Print what happened."""
        self.failed = self.failed or bool(faults)
        print(f"{'FAILED' if faults else 'ok':6} {situation}: {'; '.join([*faults, told])}", flush=True)

    def timed(self, situation: str, act: Callable[[], tuple[list[str], str]]) -> None:
        """Run a situation, and print how long it took."""
        begin = time.monotonic()
        faults, told = act()
        self(situation, faults, f"{told} ({time.monotonic() - begin:.0f} s)")
