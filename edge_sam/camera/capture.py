"""The thread that reads a source. It keeps the source's pace and reconnects when the source is lost."""

from __future__ import annotations

import logging
import threading
import time

from edge_sam.camera.frames import Captured
from edge_sam.camera.settings import StreamSettings
from edge_sam.camera.slot import Slot
from edge_sam.camera.sources import CorruptFrameError, Source, SourceFrame, SourceLostError
from edge_sam.errors import InputError
from edge_sam.imaging.preprocess import check_image
from edge_sam.system.timing import elapsed_ms

USUAL_RATE = 30.0
"""Frames per second of a source that does not report its rate."""
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0
"""Seconds before a lost source is opened again. The wait doubles with each failure."""
_LONGEST_STEP = 10.0
"""Longest plausible duration of one frame of a file, in seconds. Longer ones are ignored."""
_NAP = 0.05
"""Seconds between two checks of a waiting thread for a request to stop."""
_MANY_CORRUPT = 100
"""Consecutive corrupt frames after which a live source counts as lost."""
_HOPELESS = 10_000
"""Consecutive corrupt frames after which any other source is given up."""
_log = logging.getLogger("edge_sam")


class Capture:
    """Reads an open source in its own thread and puts the frames into `slot`, until its end or until `stop`.

    Parameters
    ----------
    source : Source
        Already open.
    settings : StreamSettings
        How it is read.

    Attributes
    ----------
    slot : Slot of Captured
        Closed when the source has ended.
    frames, reconnects : int
        Counts so far.
    error : Exception or None
        The error that ended the capture, if any.
    stopped : bool
        `stop` was called before the source ended.
    """

    def __init__(self, source: Source, settings: StreamSettings) -> None:
        self.slot: Slot[Captured] = Slot(lossless=settings.every_frame and not source.live)
        self.frames = self.reconnects = 0
        self.error: Exception | None = None
        self.stopped = False
        self._source, self._settings = source, settings
        self._stopping = self._ended = False
        self._corrupt = 0
        self._last_time: float | None = None
        self._playing_since: float | None = None
        self._thread = threading.Thread(target=self._run, name="edge-sam capture", daemon=True)

    @property
    def corrupt(self) -> int:
        """Frames that could not be used, including those that `PushedFrames` refused."""
        return self._corrupt + int(getattr(self._source, "refused", 0))

    def start(self) -> None:
        """Start reading."""
        self._thread.start()

    def play(self) -> None:
        """Continue a file or folder, which pauses after its first frame until the model is loaded and measured."""
        self._playing_since = time.perf_counter()

    def stop(self) -> None:
        """Stop reading. A library that hangs in a read is left to its own timeout."""
        self.stopped = self.stopped or not self._ended
        self._stopping = True
        self.slot.close()

    def join(self, timeout: float) -> None:
        """Wait until the thread has closed the source and ended."""
        self._thread.join(timeout)

    def _run(self) -> None:
        try:
            self._read_all()
        except Exception as error:  # It ends the stream, which raises it in the caller's thread.
            self.error = error
        finally:
            self._ended = True
            self._source.close()
            self.slot.close()

    def _read_all(self) -> None:
        paced, played = not self._source.live and not self._settings.every_frame, 0.0
        while not self._stopping:
            start = time.perf_counter()
            picture = self._next_picture()
            if picture is None:
                return
            read_ms, step = elapsed_ms(start), self._step()
            played += step if self.frames else 0
            if paced and self.frames and not self._wait_for_turn(played):
                return
            image, name = picture
            name = str(name or f"frame-{self.frames:06d}")
            captured = Captured(image, self.frames, name, time.time(), time.perf_counter(), read_ms)
            self.frames += 1
            if not self.slot.put(captured):
                return

    def _step(self) -> float:
        """Return the seconds since the last frame: by the file's timestamps if they are plausible, else by the rate."""
        before, self._last_time = self._last_time, getattr(self._source, "time", None)
        if (
            not (self._settings.source_fps or before is None or self._last_time is None)
            and 0 < self._last_time - before <= _LONGEST_STEP
        ):
            return float(self._last_time - before)
        return 1 / (self._settings.source_fps or self._source.rate or USUAL_RATE)

    def _next_picture(self) -> SourceFrame | None:
        """Read the next usable picture; None at the end. Reopen a live source until it gives one."""
        in_a_row = 0
        while not self._stopping:
            try:
                picture = self._read()
            except (CorruptFrameError, InputError) as error:
                self._corrupt += 1
                in_a_row += 1
                level = logging.WARNING if in_a_row == 1 else logging.INFO
                _log.log(level, "skipping frame %d, which is corrupt: %s", self.frames, error)
                if in_a_row < (_MANY_CORRUPT if self._source.live else _HOPELESS):
                    continue
                if not self._source.live:
                    raise
                picture = None
            if picture is not None or not self._source.live:
                return picture
            return self._reconnect()
        return None

    def _reconnect(self) -> SourceFrame | None:
        """Reopen a lost source until it gives a frame. Raise `SourceLostError` when the patience runs out."""
        _log.info("lost the source after frame %d", self.frames)
        lost, wait = time.perf_counter(), _FIRST_WAIT
        while time.perf_counter() - lost < self._settings.patience:
            self._source.close()
            if not self._sleep(wait):
                return None
            wait = min(2 * wait, _LONGEST_WAIT)
            picture = self._attempt()
            if picture is not None:
                self.reconnects += 1
                _log.info("the source is back after %.1f s", time.perf_counter() - lost)
                return picture
        raise SourceLostError(f"the source was lost and did not come back within {self._settings.patience:g} s")

    def _attempt(self) -> SourceFrame | None:
        try:
            self._source.open()
            return self._read()
        except (InputError, CorruptFrameError):
            return None

    def _read(self) -> SourceFrame | None:
        """Read a frame. Raise `InputError` if a user's own source returns something else than a picture."""
        picture = self._source.read()
        if picture is not None:
            check_image(picture[0])
        return picture

    def _wait_for_turn(self, seconds: float) -> bool:
        """Wait until `seconds` of a file have been played; return False if told to stop."""
        while self._playing_since is None:
            if not self._sleep(_NAP):
                return False
        return self._sleep(self._playing_since + seconds - time.perf_counter())

    def _sleep(self, seconds: float) -> bool:
        """Sleep; return False if told to stop."""
        end = time.perf_counter() + seconds
        while not self._stopping and (left := end - time.perf_counter()) > 0:
            time.sleep(min(left, _NAP))
        return not self._stopping
