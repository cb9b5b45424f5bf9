"""The thread that feeds one sink."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from edge_sam.camera.frames import StreamFrame
from edge_sam.camera.sinks import Sink
from edge_sam.camera.slot import Slot
from edge_sam.camera.statistics import Durations
from edge_sam.system.timing import elapsed_ms


class SinkThread:
    """Writes frames to a sink in its own thread, so that a slow sink delays nothing else.

    Parameters
    ----------
    sink : Sink
        The thread closes it at the end, even after an error.
    lossless : bool
        Delay the stream instead of dropping frames.
    failed : callable
        Called if the sink fails.

    Attributes
    ----------
    sink : Sink
    slot : Slot of StreamFrame
        Frames for the sink. Close it to end the thread.
    durations : Durations
        Milliseconds per frame.
    error : Exception or None
        The error of the sink, if any.
    """

    def __init__(self, sink: Sink, lossless: bool, failed: Callable[[], None]) -> None:
        self.sink = sink
        self.slot: Slot[StreamFrame] = Slot(lossless)
        self.durations = Durations()
        self.error: Exception | None = None
        self._failed = failed
        self._thread = threading.Thread(target=self._run, name=f"edge-sam {sink.name}", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait until all frames are written and the sink is closed."""
        self._thread.join()

    def _run(self) -> None:
        try:
            while (frame := self.slot.take()) is not None:
                start = time.perf_counter()
                self.sink.write(frame)
                self.durations.add(elapsed_ms(start))
        except Exception as error:  # The stream raises it in the caller's thread.
            self.error = error
        finally:
            self._close()

    def _close(self) -> None:
        self.slot.close()
        try:
            self.sink.close()
        except Exception as error:
            self.error = self.error or error
        if self.error is not None:
            self._failed()
