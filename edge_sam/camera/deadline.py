"""Choosing the long side and how often to encode, so that a deadline is met on this machine as it is now."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

LONG_SIDES = (1024, 768, 512, 384, 256)
"""What is chosen from."""
_LOST = (0.0, 0.004, 0.016, 0.12, 0.18)
_LOST_BY_HALF = 0.033
"""Mean J that following loses by these long sides, and whenever half as many frames are encoded: docs/lab/camera.md."""
LONGEST_INTERVAL = 10
"""Frames from one encoded frame to the next, at most: masks that are only carried drift away."""
_RECENT = 10
_ROOM = 0.85
"""Part of the deadline that a better setting must fit in to be taken; the one in use may fill it."""
_FIRST_WAIT, _LONGEST_WAIT = 10, 320
"""Encoded frames before a better setting is tried; doubled each time that it proves too slow."""
_PROVED = 100
"""Encoded frames after which a better setting has proved fast enough: if it gets too slow later, the load is new."""


@dataclass(frozen=True)
class Setting:
    """How frames are segmented.

    Attributes
    ----------
    long_side : int
        Pixels that the longer side is scaled to.
    interval : int
        Every how many frames the image encoder runs; between, masks are carried by optical flow.
    """

    long_side: int
    interval: int = 1

    @property
    def lost(self) -> float:
        """Accuracy that it is expected to cost, as mean J."""
        return float(np.interp(self.long_side, LONG_SIDES[::-1], _LOST[::-1])) + _LOST_BY_HALF * math.log2(
            self.interval
        )

    def __str__(self) -> str:
        every = f", every {self.interval}. frame encoded" if self.interval > 1 else ""
        return f"long side {self.long_side}{every}"


@dataclass(frozen=True)
class Target:
    """What is to be kept; False where nothing is asked for.

    Attributes
    ----------
    budget_ms : float, optional
        Milliseconds that no frame should take longer than.
    fps : float, optional
        Frames a second to reach on average.
    """

    budget_ms: float | None = None
    fps: float | None = None

    def __bool__(self) -> bool:
        return self.budget_ms is not None or self.fps is not None


class Deadline:
    """Chooses the setting from times that were measured, and again when they change.

    Parameters
    ----------
    encoded_ms : mapping of int to float
        By long side, milliseconds for a frame that is encoded, measured on this machine.
    carried_ms : float
        Milliseconds for a frame whose masks are carried, measured too.
    target : Target
        What is to be kept.

    Attributes
    ----------
    setting : Setting
        In use now.
    """

    def __init__(self, encoded_ms: Mapping[int, float], carried_ms: float, target: Target) -> None:
        self._base = dict(sorted(encoded_ms.items(), reverse=True))
        self._budget = target.budget_ms or math.inf
        self._period = 1000 / target.fps if target.fps else math.inf
        self._ratios: deque[float] = deque(maxlen=_RECENT)
        self._carried: deque[float] = deque([carried_ms], maxlen=_RECENT)
        self._wait, self._since, self._climbed = _FIRST_WAIT, 0, False
        self.setting = self._best(_ROOM)

    @property
    def met(self) -> bool:
        """Whether the times say that the setting in use meets the deadline. Else it is the fastest there is."""
        return self._fit(self.setting.long_side, 1.0) is not None

    def learn(self, milliseconds: float, *, encoded: bool) -> Setting:
        """Take note of what the last frame took, and choose again.

        Parameters
        ----------
        milliseconds : float
            From when the frame was fetched until its masks were there.
        encoded : bool
            Whether the image encoder ran.

        Returns
        -------
        Setting
            For the next frame.
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
        """Most accurate setting that fits into a part of the deadline; where none does, the fastest."""
        fitting = [setting for side in self._base if (setting := self._fit(side, room)) is not None]
        if fitting:
            return min(fitting, key=lambda setting: setting.lost)
        return Setting(min(self._base), LONGEST_INTERVAL if self._period < math.inf else 1)

    def _fit(self, long_side: int, room: float) -> Setting | None:
        """Encode as often as the deadline allows; None where it cannot be met."""
        # One slow frame counts for nothing (a new long side is looked at, or compiled for); three of the last ten do.
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
