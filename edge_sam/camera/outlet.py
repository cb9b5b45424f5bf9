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


class Outlet:
    """Writes frames to a sink in a thread of its own, so that a slow sink holds up nothing.

    Parameters
    ----------
    sink : Sink
        It is closed at the end, whatever happened.
    lossless : bool
        Hold up the stream rather than drop frames.
    failed : callable
        Called when the sink fails.

    Attributes
    ----------
    sink : Sink
        As above.
    slot : Slot of StreamFrame
        Frames on their way to the sink; close it to end.
    durations : Durations
        Milliseconds for a frame.
    error : Exception or None
        Why it ended, where it was not told to.
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
        """Wait until everything is written and the sink is closed."""
        self._thread.join()

    def _run(self) -> None:
        try:
            while (frame := self.slot.take()) is not None:
                start = time.perf_counter()
                self.sink.write(frame)
                self.durations.add(elapsed_ms(start))
        except Exception as error:  # It ends the stream, which raises it in the caller's thread.
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
