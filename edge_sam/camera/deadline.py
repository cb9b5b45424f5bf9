"""The long side and the encoding interval that meet a deadline on this machine, under its present load."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

LONG_SIDES = (1024, 768, 512, 384, 256)
"""The long sides to choose from."""
_LOST = (0.0, 0.004, 0.016, 0.12, 0.18)
_LOST_BY_HALF = 0.033
"""Mean J that tracking loses at each of `LONG_SIDES`, and with each doubling of the interval: docs/lab/camera.md."""
LONGEST_INTERVAL = 10
"""Largest interval between encoded frames. Masks that optical flow carries for longer drift."""
_RECENT = 10
_ROOM = 0.85
"""Fraction of the deadline that a better setting may use. The present setting may use all of it."""
_FIRST_WAIT, _LONGEST_WAIT = 10, 320
"""Encoded frames before a better setting is tried. The wait doubles each time that the setting proves too slow."""
_PROVED = 100
"""Encoded frames after which a better setting counts as fast enough. If it slows down later, the load is new."""


@dataclass(frozen=True)
class Setting:
    """How frames are segmented.

    Attributes
    ----------
    long_side : int
        Pixels of the longer side after scaling.
    interval : int
        The image encoder runs on every `interval`-th frame. Optical flow carries the masks through the others.
    """

    long_side: int
    interval: int = 1

    @property
    def lost(self) -> float:
        """Expected loss of accuracy, as mean J."""
        return float(np.interp(self.long_side, LONG_SIDES[::-1], _LOST[::-1])) + _LOST_BY_HALF * math.log2(
            self.interval
        )

    def __str__(self) -> str:
        every = f", 1 in {self.interval} frames encoded" if self.interval > 1 else ""
        return f"long side {self.long_side}{every}"


@dataclass(frozen=True)
class Deadline:
    """The speed that the user asks for. False if it is empty.

    Attributes
    ----------
    budget_ms : float, optional
        Longest time for one frame, in milliseconds.
    fps : float, optional
        Frames per second to reach on average.
    """

    budget_ms: float | None = None
    fps: float | None = None

    def __bool__(self) -> bool:
        return self.budget_ms is not None or self.fps is not None


class DeadlineController:
    """Chooses the most accurate setting that meets a deadline, and chooses again as measured times change.

    Parameters
    ----------
    encoded_ms : mapping of int to float
        Measured milliseconds for an encoded frame, by long side.
    carried_ms : float
        Measured milliseconds for a frame whose masks are carried.
    deadline : Deadline

    Attributes
    ----------
    setting : Setting
        The present setting.
    """

    def __init__(self, encoded_ms: Mapping[int, float], carried_ms: float, deadline: Deadline) -> None:
        self._base = dict(sorted(encoded_ms.items(), reverse=True))
        self._budget = deadline.budget_ms or math.inf
        self._period = 1000 / deadline.fps if deadline.fps else math.inf
        self._ratios: deque[float] = deque(maxlen=_RECENT)
        self._carried: deque[float] = deque([carried_ms], maxlen=_RECENT)
        self._wait, self._since, self._climbed = _FIRST_WAIT, 0, False
        self.setting = self._best(_ROOM)

    @property
    def met(self) -> bool:
        """Whether the present setting meets the deadline. If not, it is the fastest one."""
        return self._fit(self.setting.long_side, 1.0) is not None

    def learn(self, milliseconds: float, *, encoded: bool) -> Setting:
        """Record the time of the last frame and choose the setting for the next one.

        Parameters
        ----------
        milliseconds : float
            Time to segment the frame.
        encoded : bool
            Whether the image encoder ran.

        Returns
        -------
        Setting
        """
        if not encoded:
            self._carried.append(milliseconds)
        else:
            self._ratios.append(milliseconds / self._base[self.setting.long_side])
            self._since += 1
        if self._climbed and self._since >= _PROVED:
            self._wait, self._climbed = _FIRST_WAIT, False
        held = self._fit(self.setting.long_side, 1.0)
        if held is None or held.interval > self.setting.interval:
            self._change(self._best(1.0))
        elif self._since >= self._wait and (better := self._best(_ROOM)).lost < self.setting.lost:
            self._change(better)
        return self.setting

    def _change(self, setting: Setting) -> None:
        if setting.lost > self.setting.lost and self._climbed:
            self._wait, self._climbed = min(2 * self._wait, _LONGEST_WAIT), False
        elif setting.lost < self.setting.lost:
            self._climbed = True
        if setting != self.setting:
            self._since = 0
        self.setting = setting

    def _best(self, room: float) -> Setting:
        """Return the most accurate setting that fits into a fraction `room` of the deadline, else the fastest."""
        fitting = [setting for side in self._base if (setting := self._fit(side, room)) is not None]
        if fitting:
            return min(fitting, key=lambda setting: setting.lost)
        return Setting(min(self._base), LONGEST_INTERVAL if self._period < math.inf else 1)

    def _fit(self, long_side: int, room: float) -> Setting | None:
        """Return the setting that encodes as often as the deadline allows, or None if it cannot be met."""
        # One slow frame does not count, as after a change of the long side. Three of the last ten do.
        slowdown = sorted(self._ratios)[int(0.8 * (len(self._ratios) - 1))] if len(self._ratios) > 2 else 1.0
        encoded, carried = self._base[long_side] * slowdown, statistics.median(self._carried)
        period = self._period * room
        if encoded > self._budget * room:
            return None
        if encoded <= period:
            return Setting(long_side)
        if carried >= period:
            return None
        interval = math.ceil((encoded - carried) / (period - carried))
        return Setting(long_side, interval) if interval <= LONGEST_INTERVAL else None
