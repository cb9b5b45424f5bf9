"""The process that runs a target: a crash ends this one only, and the input stays in a file."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import resource
import signal
import sys
from pathlib import Path
from random import Random

from edge_sam.errors import InputError
from fuzz.mutations import mutate
from fuzz.targets import TARGETS, Target

CORPUS = Path(__file__).parent / "corpus"
SECONDS, BYTES = 10, 1 << 30
"""What one input may take: processor time, and memory."""
LONGEST_INPUT = 1 << 17


class DefectError(Exception):
    """An input did what none may do."""


class Executor:
    """Runs a target under limits.

    Parameters
    ----------
    target : callable
    folder : Path
        For the present input, and for the files of the target.
    """

    def __init__(self, target: Target, folder: Path) -> None:
        self._target = target
        self._input = folder / "input"
        self._files = folder / "files"
        self._files.mkdir()
        with contextlib.suppress(InputError):
            target(b"", self._files)  # Imports are no part of what an input may take.
        self._noise = os.open(folder / "stderr", os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self._stderr = os.dup(2)
        faulthandler.enable(self._stderr)
        faulthandler.register(signal.SIGPROF, self._stderr, chain=True)
        self._most = _peak() + BYTES
        # The kernel stops a bomb before it takes the machine. What is only reserved may be more than what is taken.
        resource.setrlimit(resource.RLIMIT_DATA, (8 * BYTES, 8 * BYTES))

    def __call__(self, data: bytes) -> None:
        """Give the target an input. Raises `DefectError`, or what the target raises beside `InputError`."""
        self._input.write_bytes(data)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        os.dup2(self._noise, 2)
        try:
            with contextlib.suppress(InputError):
                self._target(data, self._files)
        finally:
            sys.stderr.flush()
            os.dup2(self._stderr, 2)
            signal.setitimer(signal.ITIMER_PROF, 0)
        if written := os.pread(self._noise, 500, 0):
            raise DefectError(f"it writes to stderr: {written!r}")
        if _peak() > self._most:
            raise DefectError(f"it takes more than {BYTES >> 20} MiB")


def _peak() -> int:
    """Most memory that this process has taken. (`getrusage` counts the one that it was forked from as well.)"""
    status = Path("/proc/self/status").read_bytes()
    return int(status.split(b"VmHWM:", 1)[1].split(None, 1)[0]) * 1024


def start(folder: Path, target: str) -> tuple[Executor, list[bytes]]:
    """Run the corpus of a target; return what runs more, and the corpus."""
    execute = Executor(TARGETS[target], folder)
    seeds = [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]
    for seed in seeds:
        execute(seed)
    return execute, seeds


def main() -> None:
    """Run mutations of mutations of the corpus: the same at every call."""
    folder, target, runs = sys.argv[1:]
    execute, seeds = start(Path(folder), target)
    random = Random(0)
    for _ in range(int(runs)):
        data = random.choice(seeds)
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            data = mutate(data, random)
        execute(data[:LONGEST_INPUT])


if __name__ == "__main__":
    main()
