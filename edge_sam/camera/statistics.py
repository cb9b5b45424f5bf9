"""Statistics of a running stream, in constant memory."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

from edge_sam.camera.frames import StreamFrame

_STEP = math.log(1.01)
_RECENT = 60


class Durations:
    """A histogram of milliseconds. Its bins are 1 % wide, so percentiles are accurate to 0.5 %."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._bins: Counter[int] = Counter()

    def add(self, milliseconds: float) -> None:
        """Count one duration."""
        self.longest = max(self.longest, milliseconds)
        self._bins[round(math.log(max(milliseconds, 1e-3)) / _STEP)] += 1

    def percentile(self, percent: float) -> float:
        """Return a percentile, `percent` from 0 to 100; 0 if nothing was counted."""
        left = percent / 100 * sum(self._bins.values())
        for bin_, count in sorted(self._bins.items()):
            left -= count
            if left <= 0:
                return min(math.exp(bin_ * _STEP), self.longest)
        return self.longest

    def summary(self) -> dict[str, float]:
        """Return the median, the 95th percentile and the maximum."""
        values = {"p50": self.percentile(50), "p95": self.percentile(95), "max": self.longest}
        return {name: round(value, 2) for name, value in values.items()}


class Statistics:
    """Counts of a stream, from the first segmented frame on.

    Attributes
    ----------
    frames : int
        Segmented frames.
    encoded : int
        Segmented frames on which the image encoder ran.
    dropped : int
        Frames in between that were not segmented.
    states : Counter of str
        Number of times that an object was held, carried or lost.
    stages : dict of str to Durations
        Durations by stage.
    """

    def __init__(self) -> None:
        self.frames = self.encoded = self.dropped = 0
        self.states: Counter[str] = Counter()
        self.stages: dict[str, Durations] = {}
        self._last_index: int | None = None
        self._begin = self._end = 0.0
        self._recent: deque[float] = deque(maxlen=_RECENT)

    def add(self, frame: StreamFrame) -> None:
        """Count a frame."""
        self._end = time.perf_counter()
        if self._last_index is None:
            self._begin = self._end
        else:
            self.dropped += frame.index - self._last_index - 1
        self._last_index = frame.index
        self._recent.append(self._end)
        self.frames += 1
        self.encoded += frame.encoded
        self.states.update(tracked.state for tracked in frame.objects)
        for stage, milliseconds in (*frame.timings.items(), ("latency", frame.latency_ms)):
            self.stages.setdefault(stage, Durations()).add(milliseconds)

    @property
    def fps(self) -> float:
        """Segmented frames per second, over the whole stream."""
        passed = self._end - self._begin
        return (self.frames - 1) / passed if passed > 0 else 0.0

    @property
    def recent_fps(self) -> float:
        """Segmented frames per second, over the last 60 frames."""
        passed = self._recent[-1] - self._recent[0] if self._recent else 0.0
        return (len(self._recent) - 1) / passed if passed > 0 else 0.0

    def summary(self) -> dict[str, Any]:
        """Return all statistics in a form that JSON can hold. Durations are in milliseconds."""
        return {
            "frames": self.frames,
            "encoded": self.encoded,
            "dropped": self.dropped,
            "seconds": round(self._end - self._begin, 3),
            "fps": round(self.fps, 2),
            "states": dict(self.states),
            "stages_ms": {stage: durations.summary() for stage, durations in list(self.stages.items())},
        }


def status_line(statistics: Statistics, sinks_dropped: Mapping[str, int], corrupt: int, setting: str) -> str:
    """Format one line to read: rate, drops, median and 95th percentile of each stage, setting."""
    parts = [f"{statistics.recent_fps:.1f} fps", f"{statistics.dropped} dropped"]
    parts += [f"{count} dropped by {name}" for name, count in sinks_dropped.items() if count]
    parts += [f"{corrupt} corrupt"] if corrupt else []
    parts += [
        f"{stage} {durations.percentile(50):.0f}/{durations.percentile(95):.0f}"
        for stage, durations in list(statistics.stages.items())
    ]
    return "  ".join([*parts, setting])
