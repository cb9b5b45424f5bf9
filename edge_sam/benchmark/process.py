"""The parent's side of a worker."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from edge_sam.benchmark.worker import Answer, Failure, Farewell, Job, Message, Ready, Request
from edge_sam.errors import EdgeSamError
from edge_sam.evaluation.variant import Variant
from edge_sam.files.serialization import from_json, to_json
from edge_sam.system.processes import python_command, reason_of_end
from edge_sam.system.timing import elapsed_ms

_M = TypeVar("_M", bound=Message)


class WorkerError(EdgeSamError):
    """A combination does not work on this machine; the message says why."""


class WorkerProcess:
    """One combination, loaded in a process of its own.

    Parameters
    ----------
    variant : Variant
        What to load.
    images : sequence of Path
        Photographs that `run` refers to by index.

    Attributes
    ----------
    ready : Ready
        What was loaded, and how long that took inside.
    ready_wall_ms : float
        From starting the process to its being ready, seen from outside.

    Raises
    ------
    WorkerError
        The combination cannot be loaded.
    """

    def __init__(self, variant: Variant, images: Sequence[Path]) -> None:
        start = time.perf_counter()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (a pipe that nobody reads would fill up)
        self._process = subprocess.Popen(
            python_command("edge_sam.benchmark.worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
        )
        try:
            self._send(Job(variant, [str(image.absolute()) for image in images]))
            self.ready = self._receive(Ready)
        except BaseException:
            self.close()
            raise
        self.ready_wall_ms = elapsed_ms(start)

    def run(self, image: int, *, with_masks: bool = False) -> tuple[Answer, float]:
        """Segment one photograph; the milliseconds are those that it took seen from here.

        Raises
        ------
        WorkerError
            The combination fails, or its process died.
        """
        start = time.perf_counter()
        self._send(Request(image, with_masks))
        answer = self._receive(Answer)
        return answer, elapsed_ms(start)

    def finish(self) -> float:
        """End the process in order and return its peak resident memory in MiB."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        peak = self._receive(Farewell).peak_rss_mb
        self.close()
        return peak

    def close(self) -> None:
        """End the process whatever it does."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            if stream is not None:
                stream.close()

    def _send(self, message: Job | Request) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(to_json(message) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise WorkerError(self._epitaph()) from None

    def _receive(self, kind: type[_M]) -> _M:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError(self._epitaph())
        message = from_json(line, Message)
        if isinstance(message, Failure):
            raise WorkerError(message.reason)
        assert isinstance(message, kind)
        return message

    def _epitaph(self) -> str:
        code = self._process.wait()
        self._stderr.seek(0)
        return f"the process {reason_of_end(code, self._stderr.read())}"
