"""The parent's side of a worker process."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from edge_sam.benchmark.worker import Failed, Loaded, LoadRequest, Message, PeakMemory, RunRequest, RunResult
from edge_sam.errors import EdgeSamError
from edge_sam.evaluation.variant import Variant
from edge_sam.files.serialization import from_json, to_json
from edge_sam.system.processes import python_command, reason_of_end, stderr_file
from edge_sam.system.timing import elapsed_ms

_M = TypeVar("_M", bound=Message)


class WorkerError(EdgeSamError):
    """A variant does not work on this machine. The message gives the reason."""


class WorkerProcess:
    """A variant loaded in its own process.

    Parameters
    ----------
    variant : Variant
        What to load.
    images : sequence of Path
        Photographs; `run` takes an index into them.

    Attributes
    ----------
    loaded : Loaded
        What was loaded, with times measured in the worker.
    load_wall_ms : float
        Time from starting the process until it is ready, measured here.

    Raises
    ------
    WorkerError
        The variant cannot be loaded.
    """

    def __init__(self, variant: Variant, images: Sequence[Path]) -> None:
        start = time.perf_counter()
        self._stderr = stderr_file()
        self._process = subprocess.Popen(
            python_command("edge_sam.benchmark.worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
        )
        try:
            self._send(LoadRequest(variant, [str(image.absolute()) for image in images]))
            self.loaded = self._receive(Loaded)
        except BaseException:
            self.close()
            raise
        self.load_wall_ms = elapsed_ms(start)

    def run(self, image: int, *, with_masks: bool = False) -> tuple[RunResult, float]:
        """Segment one photograph. Also returns the milliseconds measured here.

        Raises
        ------
        WorkerError
            The variant fails, or its process died.
        """
        start = time.perf_counter()
        self._send(RunRequest(image, with_masks))
        result = self._receive(RunResult)
        return result, elapsed_ms(start)

    def finish(self) -> float:
        """Stop the process normally and return its peak resident memory in MiB."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        peak = self._receive(PeakMemory).peak_rss_mb
        self.close()
        return peak

    def close(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            if stream is not None:
                stream.close()

    def _send(self, message: LoadRequest | RunRequest) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(to_json(message) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise WorkerError(self._exit_reason()) from None

    def _receive(self, kind: type[_M]) -> _M:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError(self._exit_reason())
        message = from_json(line, Message)
        if isinstance(message, Failed):
            raise WorkerError(message.reason)
        assert isinstance(message, kind)
        return message

    def _exit_reason(self) -> str:
        code = self._process.wait()
        self._stderr.seek(0)
        return f"the process {reason_of_end(code, self._stderr.read())}"
