"""The thread that reads a source: in time with it, and again when it was lost."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

from edge_sam.camera.frames import Captured
from edge_sam.camera.slot import Slot
from edge_sam.camera.sources import CorruptFrameError, Picture, Source, SourceLostError
from edge_sam.errors import InputError
from edge_sam.imaging.preprocess import check_image
from edge_sam.system.timing import elapsed_ms

USUAL_RATE = 30.0
"""Frames a second of a source that says nothing about its rate."""
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0
"""Seconds before a lost source is opened again; doubled each time that it fails."""
_LONGEST_STEP = 10.0
"""Seconds that a frame of a file may be shown; a file that says more is not believed."""
_NAP = 0.05
"""Seconds after which a waiting thread looks whether it is to stop."""
_MANY_CORRUPT = 100
"""Corrupt frames one after the other after which a live source counts as lost."""
_HOPELESS = 10_000
"""The same after which any other source is given up."""
_log = logging.getLogger("edge_sam")


@dataclass(frozen=True)
class Playing:
    """How a source is read.

    Attributes
    ----------
    every_frame : bool
        Wait until a frame was fetched instead of dropping it.
    rate : float, optional
        Frames a second to play a file or folder at. Default: its own.
    patience : float
        Seconds without a frame after which a lost source is given up.
    """

    every_frame: bool = False
    rate: float | None = None
    patience: float = 60.0


class Capture:
    """Reads an open source in a thread of its own and puts the frames into `slot`, until it ends or is stopped.

    Parameters
    ----------
    source : Source
        Open.
    playing : Playing
        How.

    Attributes
    ----------
    slot : Slot of Captured
        Closed when the source has ended.
    frames, reconnects : int
        Counted so far.
    error : Exception or None
        Why it ended, where that was not the source's end.
    stopped : bool
        It was told to stop before the source had ended.
    """

    def __init__(self, source: Source, playing: Playing) -> None:
        self.slot: Slot[Captured] = Slot(lossless=playing.every_frame and not source.live)
        self.frames = self.reconnects = 0
        self.error: Exception | None = None
        self.stopped = False
        self._source, self._playing = source, playing
        self._stopping = self._ended = False
        self._corrupt = 0
        self._said: float | None = None
        self._playing_since: float | None = None
        self._thread = threading.Thread(target=self._run, name="edge-sam capture", daemon=True)

    @property
    def corrupt(self) -> int:
        """Frames that could not be used; with those that `PushedFrames` refused."""
        return self._corrupt + int(getattr(self._source, "refused", 0))

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def play(self) -> None:
        """Let a file or folder go on after its first frame, which waits until everything is loaded and measured."""
        self._playing_since = time.perf_counter()

    def stop(self) -> None:
        """Read no more. A library that hangs in a read is left to its own timeout."""
        self.stopped = self.stopped or not self._ended
        self._stopping = True
        self.slot.close()

    def join(self, timeout: float) -> None:
        """Wait for the end of the thread, which closes the source."""
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
        paced, played = not self._source.live and not self._playing.every_frame, 0.0
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
        """Seconds from the frame before to this one: as a file says, or by the rate where that makes no sense."""
        before, self._said = self._said, getattr(self._source, "time", None)
        if (
            not (self._playing.rate or before is None or self._said is None)
            and 0 < self._said - before <= _LONGEST_STEP
        ):
            return float(self._said - before)
        return 1 / (self._playing.rate or self._source.rate or USUAL_RATE)

    def _next_picture(self) -> Picture | None:
        """Read until there is a picture; None at the end. A live source is opened again until one comes."""
        in_a_row = 0
        while not self._stopping:
            try:
                picture = self._read()
            except (CorruptFrameError, InputError) as error:
                self._corrupt += 1
                in_a_row += 1
                level = logging.WARNING if in_a_row == 1 else logging.INFO
                _log.log(level, "frame %d is corrupt and left out: %s", self.frames, error)
                if in_a_row < (_MANY_CORRUPT if self._source.live else _HOPELESS):
                    continue
                if not self._source.live:
                    raise
                picture = None
            if picture is not None or not self._source.live:
                return picture
            return self._pick_up()
        return None

    def _pick_up(self) -> Picture | None:
        """Open a lost source again and again, until it gives a frame or the patience is over."""
        _log.info("the source is lost after frame %d", self.frames)
        lost, wait = time.perf_counter(), _FIRST_WAIT
        while time.perf_counter() - lost < self._playing.patience:
            self._source.close()
            if not self._sleep(wait):
                return None
            wait = min(2 * wait, _LONGEST_WAIT)
            picture = self._attempt()
            if picture is not None:
                self.reconnects += 1
                _log.info("the source is back after %.1f s", time.perf_counter() - lost)
                return picture
        raise SourceLostError(f"the source was lost and did not come back within {self._playing.patience:g} s")

    def _attempt(self) -> Picture | None:
        try:
            self._source.open()
            return self._read()
        except (InputError, CorruptFrameError):
            return None

    def _read(self) -> Picture | None:
        """Read a frame. `InputError`: a source of the user's own gave what is no picture."""
        picture = self._source.read()
        if picture is not None:
            check_image(picture[0])
        return picture

    def _wait_for_turn(self, seconds: float) -> bool:
        """Wait until so many seconds of a file have been played; False when told to stop."""
        while self._playing_since is None:
            if not self._sleep(_NAP):
                return False
        return self._sleep(self._playing_since + seconds - time.perf_counter())

    def _sleep(self, seconds: float) -> bool:
        """Sleep unless told to stop; False when it is."""
        end = time.perf_counter() + seconds
        while not self._stopping and (left := end - time.perf_counter()) > 0:
            time.sleep(min(left, _NAP))
        return not self._stopping
