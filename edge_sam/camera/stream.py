"""Live tracking: `Stream`."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from edge_sam.camera.adaptive_model import AdaptiveModel
from edge_sam.camera.capture import Capture
from edge_sam.camera.deadline import Deadline
from edge_sam.camera.frames import Captured, StreamFrame
from edge_sam.camera.settings import StreamSettings
from edge_sam.camera.sink_thread import SinkThread
from edge_sam.camera.sinks import Sink
from edge_sam.camera.slot import Slot
from edge_sam.camera.sources import Source, find_source
from edge_sam.camera.statistics import Statistics, status_line
from edge_sam.camera.stream_tracker import PromptCallback, StreamTracker
from edge_sam.errors import InputError, one_line
from edge_sam.files.addresses import hide_passwords
from edge_sam.predictor import Predictor
from edge_sam.prompts import Prompt


class Stream:
    """Track objects through a camera, a video, a folder of frames or a network stream.

    Reading, segmenting and each sink run in their own threads. One frame fits between two stages, and a newer frame
    replaces it. So the frames stay current, even if a stage is slow. Iterate over a stream once::

        with edge_sam.Stream("rtsp://camera/1", prompts=[edge_sam.Prompt(box=(76, 18, 478, 390))]) as stream:
            for frame in stream:
                frame.objects[0].mask, frame.objects[0].state, frame.latency_ms

    Parameters
    ----------
    source : str, int, Path or Source
        A camera's number or device (``0``, ``/dev/video0``), a video file, a folder of frames, an address
        (``rtsp://``, ``http://``), with `pipeline` a GStreamer pipeline, or your own source, such as `PushedFrames`.
        Files and folders play at their own rate.
    model : Predictor, str or Path
        A loaded model, or the name or folder of a bundle. With a deadline, a bundle is loaded in the runtime that is
        the fastest on the first frame, unless `edge-sam tune` has already chosen one.
    prompts : Prompt, sequence of Prompt, or callable
        One for each object, on the first frame. A callable receives each frame (`Captured`) before it is segmented
        and returns new prompts, or None to go on with the earlier ones.
    size : tuple of int, optional
        (height, width) of the frame that `prompts` were made for; a first frame of another size is refused.
    long_side, budget_ms, fps, every_frame, source_fps, timeout, patience, pipeline
        See `edge_sam.camera.settings.StreamSettings`.
    sinks : sequence of Sink
        Further consumers of the frames.

    Attributes
    ----------
    sinks : list of Sink
        You can add sinks before you iterate.
    statistics : Statistics
    rate : float or None
        Frames per second of the source. None if unknown.

    Raises
    ------
    InputError
        The source cannot be opened, or an option or prompt is invalid. While iterating: the prompts do not fit the
        first frame, or no frame could be read.
    SourceLostError
        While iterating: the source was lost and did not come back.
    OSError
        While iterating: a sink failed, for example because the disk is full. Everything written before is complete.
    """

    def __init__(
        self,
        source: str | int | Path | Source,
        model: Predictor | str | Path = "mobile-sam",
        prompts: Prompt | Sequence[Prompt] | PromptCallback = (),
        *,
        size: tuple[int, int] | None = None,
        long_side: int | None = StreamSettings.long_side,
        budget_ms: float | None = StreamSettings.budget_ms,
        fps: float | None = StreamSettings.fps,
        every_frame: bool = StreamSettings.every_frame,
        source_fps: float | None = StreamSettings.source_fps,
        timeout: float = StreamSettings.timeout,
        patience: float = StreamSettings.patience,
        pipeline: bool = StreamSettings.pipeline,
        sinks: Sequence[Sink] = (),
    ) -> None:
        settings = StreamSettings(
            long_side=long_side,
            budget_ms=budget_ms,
            fps=fps,
            every_frame=every_frame,
            source_fps=source_fps,
            timeout=timeout,
            patience=patience,
            pipeline=pipeline,
        )
        self._model = AdaptiveModel(model, long_side, Deadline(budget_ms, fps))
        self._tracker = StreamTracker(self._model, prompts, size)
        self._name = _name(source)
        self._source = find_source(source, timeout, pipeline=pipeline)
        self._source.open()
        if every_frame and self._source.live:
            self._source.close()
            raise InputError(f"{self._name} is live, so its frames cannot wait; every_frame is for files and folders")
        self.rate = source_fps or self._source.rate
        self.sinks = list(sinks)
        self.statistics = Statistics()
        self._lossless = every_frame
        self._capture = Capture(self._source, settings)
        self._frames: Slot[StreamFrame] = Slot(lossless=every_frame)
        self._sink_threads: list[SinkThread] = []
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        self._closed = False

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def __iter__(self) -> Iterator[StreamFrame]:
        if self._thread is not None:
            raise InputError("a stream can be iterated over only once; create another one")
        self._thread = threading.Thread(target=self._segment, name="edge-sam segment", daemon=True)
        self._sink_threads = [SinkThread(sink, self._lossless, self.stop) for sink in self.sinks]
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
            raise InputError(f"{self._name} has no readable frame")

    def prompt(self, prompts: Prompt | Sequence[Prompt]) -> None:
        """Track these objects from the next frame on, in place of the earlier ones. An empty sequence tracks nothing.

        Call it from any thread. Prompts that do not fit the frame are skipped with a warning.

        Raises
        ------
        InputError
            `prompts` is not a sequence of prompts.
        """
        self._tracker.prompt(prompts)

    def stop(self) -> None:
        """End the iteration after the present frame. Call it from any thread or signal handler."""
        self._capture.stop()

    def close(self) -> None:
        """Stop, and wait until every sink has written its frames and is closed."""
        if self._closed:
            return
        self.stop()
        self._frames.close()
        if self._thread is None:
            self._closed = True
            self._source.close()
            return
        self._thread.join()
        for thread in self._sink_threads:
            thread.join()
        self._capture.join(timeout=0.5)  # A read may hang. The thread closes the source when the read returns.
        self._closed = True

    def summary(self) -> dict[str, Any]:
        """Summarise the stream so far in a form that JSON can hold. Durations are in milliseconds."""
        report = {"source": self._name, **self.statistics.summary()}
        report["stages_ms"] |= {thread.sink.name: thread.durations.summary() for thread in self._sink_threads}
        report["sinks_dropped"] = self._sinks_dropped()
        report |= {"corrupt": self._capture.corrupt, "reconnects": self._capture.reconnects}
        predictor, setting = self._model.predictor, self._model.setting
        report["setting"] = {"long_side": setting.long_side, "interval": setting.interval, "met": self._model.met}
        if predictor is not None:
            report |= msgspec.structs.asdict(predictor.facts)
        ended = "stopped" if self._capture.stopped else "end of source"
        report["ended"] = next((one_line(error) for error in self._errors()), ended)
        return report

    def __str__(self) -> str:
        return status_line(self.statistics, self._sinks_dropped(), self._capture.corrupt, str(self._model))

    def _sinks_dropped(self) -> dict[str, int]:
        return {thread.sink.name: thread.slot.dropped for thread in self._sink_threads}

    def _errors(self) -> list[Exception]:
        """List the errors, causes first."""
        errors = [self._error, *(thread.error for thread in self._sink_threads), self._capture.error]
        return [error for error in errors if error is not None]

    def _first(self) -> Captured | None:
        """Load and measure the model on the first frame. Return the frame to start with."""
        captured = self._capture.slot.take()
        if captured is None:
            return None
        self._tracker.prepare(captured)
        self._capture.play()
        if self._source.live:  # The source went on meanwhile.
            return self._capture.slot.take(timeout=0) or captured
        return replace(captured, time=time.time(), clock=time.perf_counter())

    def _segment(self) -> None:
        try:
            captured = self._first()
            while captured is not None:
                frame = self._tracker(captured)
                self.statistics.add(frame)
                for thread in self._sink_threads:
                    thread.slot.put(frame)
                if not self._frames.put(frame):
                    break
                captured = self._capture.slot.take()
        except Exception as error:  # `__iter__` raises it in the caller's thread.
            self._error = error
            self.stop()
        finally:
            for thread in self._sink_threads:
                thread.slot.close()
            self._frames.close()


def _name(source: str | int | Path | Source) -> str:
    """Return the source's name without its password."""
    if not isinstance(source, str | int | Path):
        return type(source).__name__
    return str(source) if os.path.exists(source) else hide_passwords(str(source))  # noqa: PTH110 (never raises)
