"""Following objects live: `Stream`."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from edge_sam.camera.addresses import hide_passwords
from edge_sam.camera.capture import Capture, Playing
from edge_sam.camera.deadline import Target
from edge_sam.camera.frames import Captured, StreamFrame
from edge_sam.camera.outlet import Outlet
from edge_sam.camera.plan import Plan
from edge_sam.camera.segmenter import Ask, Segmenter
from edge_sam.camera.settings import StreamSettings
from edge_sam.camera.sinks import Sink
from edge_sam.camera.slot import Slot
from edge_sam.camera.sources import Source, find_source
from edge_sam.camera.statistics import Statistics, line
from edge_sam.errors import InputError, one_line
from edge_sam.predictor import Predictor
from edge_sam.prompts import Prompt


class Stream:
    """Follow objects through a camera, a video, a folder of frames or a network stream.

    Reading, segmenting and every sink have a thread of their own. Between them is room for one frame, and a newer one
    takes its place: however slow a stage is, the frames behind it are new. Iterate over it once::

        with edge_sam.Stream("rtsp://camera/1", prompts=[edge_sam.Prompt(box=(76, 18, 478, 390))]) as stream:
            for frame in stream:
                frame.objects[0].mask, frame.objects[0].state, frame.latency_ms

    Parameters
    ----------
    source : str, int, Path or Source
        A camera's number or device (``0``, ``/dev/video0``), a video file, a folder of frames, an address
        (``rtsp://``, ``http://``), a GStreamer pipeline, or a source of your own, such as `PushedFrames`. Files and
        folders are played at their own rate.
    model : Predictor, str or Path
        A loaded model, or the name or folder of a bundle. With a deadline a bundle is loaded in the runtime that is
        the fastest on the first frame (unless `edge-sam tune` has found out already).
    prompts : Prompt, sequence of Prompt, or callable
        One for each object, on the first frame. A callable is given every frame (`Captured`) before it is segmented
        and returns new prompts, or None to go on as before.
    size : tuple of int, optional
        (height, width) of the frame that `prompts` were made for; a first frame of another size is refused.
    long_side, budget_ms, fps, every_frame, source_fps, timeout, patience
        See `edge_sam.camera.settings.StreamSettings`.
    sinks : sequence of Sink
        Where frames go beside the iterator.

    Attributes
    ----------
    sinks : list of Sink
        May be added to before the iteration.
    statistics : Statistics
        What was done so far.
    rate : float or None
        Frames a second of the source, where known.

    Raises
    ------
    InputError
        The source cannot be opened, or an option or prompt is impossible. While iterating: the first prompts do not
        fit the first frame, or no frame could be read.
    SourceLostError
        While iterating: the source was lost and did not come back.
    OSError
        While iterating: a sink failed (the disk is full, say). What was written before is whole.
    """

    def __init__(
        self,
        source: str | int | Path | Source,
        model: Predictor | str | Path = "mobile-sam",
        prompts: Prompt | Sequence[Prompt] | Ask = (),
        *,
        size: tuple[int, int] | None = None,
        long_side: int | None = StreamSettings.long_side,
        budget_ms: float | None = StreamSettings.budget_ms,
        fps: float | None = StreamSettings.fps,
        every_frame: bool = StreamSettings.every_frame,
        source_fps: float | None = StreamSettings.source_fps,
        timeout: float = StreamSettings.timeout,
        patience: float = StreamSettings.patience,
        sinks: Sequence[Sink] = (),
    ) -> None:
        StreamSettings(
            long_side=long_side,
            budget_ms=budget_ms,
            fps=fps,
            every_frame=every_frame,
            source_fps=source_fps,
            timeout=timeout,
            patience=patience,
        )
        self._plan = Plan(model, long_side, Target(budget_ms, fps))
        self._segmenter = Segmenter(self._plan, prompts, size)
        self._name = _name(source)
        self._source = find_source(source, timeout)
        self._source.open()
        if every_frame and self._source.live:
            self._source.close()
            raise InputError(f"{self._name} is live: frames cannot wait, so every_frame is for files and folders")
        self.rate = source_fps or self._source.rate
        self.sinks = list(sinks)
        self.statistics = Statistics()
        self._lossless = every_frame
        self._capture = Capture(self._source, Playing(every_frame, source_fps, patience))
        self._frames: Slot[StreamFrame] = Slot(lossless=every_frame)
        self._outlets: list[Outlet] = []
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        self._closed = False

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def __iter__(self) -> Iterator[StreamFrame]:
        if self._thread is not None:
            raise InputError("a stream can be iterated over once; make another one")
        self._thread = threading.Thread(target=self._segment, name="edge-sam segment", daemon=True)
        self._outlets = [Outlet(sink, self._lossless, self.stop) for sink in self.sinks]
        self._capture.start()
        self._thread.start()
        try:
            while (frame := self._frames.take()) is not None:
                yield frame
        finally:
            self.close()
        for error in self._errors():
            raise error
        if self._capture.frames == 0 and not self._capture.stopped:
            raise InputError(f"{self._name} has no frame that can be read")

    def prompt(self, prompts: Prompt | Sequence[Prompt]) -> None:
        """Follow these objects from the next frame on, in the place of those before; none: follow nothing.

        May be called from any thread. Prompts that do not fit the frame are left out with a warning.

        Raises
        ------
        InputError
            Not a sequence of prompts.
        """
        self._segmenter.prompt(prompts)

    def stop(self) -> None:
        """End in order: the iteration ends after the frame in work. May be called from any thread or signal handler."""
        self._capture.stop()

    def close(self) -> None:
        """End, and wait until every sink has written what it got and is closed."""
        if self._closed:
            return
        self.stop()
        self._frames.close()
        if self._thread is None:
            self._closed = True
            self._source.close()
            return
        self._thread.join()
        for outlet in self._outlets:
            outlet.join()
        self._capture.join(timeout=0.5)  # It may hang in a read; it closes the source when that returns.
        self._closed = True

    def summary(self) -> dict[str, Any]:
        """Say what was done so far, as JSON can hold it; times in milliseconds."""
        report = {"source": self._name, **self.statistics.summary()}
        report["stages_ms"] |= {outlet.sink.name: outlet.durations.summary() for outlet in self._outlets}
        report["sinks_dropped"] = self._sinks_dropped()
        report |= {"corrupt": self._capture.corrupt, "reconnects": self._capture.reconnects}
        predictor, setting = self._plan.predictor, self._plan.setting
        report["setting"] = {"long_side": setting.long_side, "interval": setting.interval, "met": self._plan.met}
        if predictor is not None:
            report |= {"model": predictor.bundle.manifest.name, "precision": predictor.precision}
            report |= {"runtime": predictor.runtime, "provider": predictor.provider}
        ended = "stopped" if self._capture.stopped else "end of source"
        report["ended"] = next((one_line(error) for error in self._errors()), ended)
        return report

    def __str__(self) -> str:
        return line(self.statistics, self._sinks_dropped(), self._capture.corrupt, str(self._plan))

    def _sinks_dropped(self) -> dict[str, int]:
        return {outlet.sink.name: outlet.slot.dropped for outlet in self._outlets}

    def _errors(self) -> list[Exception]:
        """List what went wrong, the cause before what it caused."""
        errors = [self._error, *(outlet.error for outlet in self._outlets), self._capture.error]
        return [error for error in errors if error is not None]

    def _first(self) -> Captured | None:
        """Load and measure on the first frame, and give the one to begin with."""
        captured = self._capture.slot.take()
        if captured is None:
            return None
        self._segmenter.prepare(captured)
        self._capture.play()
        if self._source.live:  # It went on meanwhile.
            return self._capture.slot.take(timeout=0) or captured
        return replace(captured, time=time.time(), clock=time.perf_counter())

    def _segment(self) -> None:
        try:
            captured = self._first()
            while captured is not None:
                frame = self._segmenter(captured)
                self.statistics.add(frame)
                for outlet in self._outlets:
                    outlet.slot.put(frame)
                if not self._frames.put(frame):
                    break
                captured = self._capture.slot.take()
        except Exception as error:  # It ends the stream and is raised in the caller's thread.
            self._error = error
            self.stop()
        finally:
            for outlet in self._outlets:
                outlet.slot.close()
            self._frames.close()


def _name(source: str | int | Path | Source) -> str:
    """Say which source it is, without its password."""
    if not isinstance(source, str | int | Path):
        return type(source).__name__
    return str(source) if os.path.exists(source) else hide_passwords(str(source))  # noqa: PTH110 (never raises)
