"""How fast memory grows with the work done: a slope with its confidence interval, not a difference of two samples."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

_BLOCKS = 10
_STUDENT = 2.306
"""Two-sided 95 % quantile of Student's t with `_BLOCKS` - 2 degrees of freedom."""
_SETTLING = 0.2
"""First part of the samples that is left out: caches fill, and the allocator takes what it needs."""


class Growth(NamedTuple):
    """Growth of memory.

    Attributes
    ----------
    slope, low, high : float
        MB per 100,000 steps, and its 95 % confidence interval.
    first, last : float
        MB after the settling and at the end.
    """

    slope: float
    low: float
    high: float
    first: float
    last: float

    def __str__(self) -> str:
        return (
            f"memory {self.first:.1f} to {self.last:.1f} MB: {self.slope:+.2f} MB per 100,000"
            f" (95 % interval {self.low:+.2f} to {self.high:+.2f})"
        )


def growth(steps: Sequence[float], memory: Sequence[float]) -> Growth:
    """Fit a line to samples of memory.

    Samples that follow each other are not independent, because an allocator moves in jumps. So the line goes through
    the means of ten blocks of samples, and the interval comes from their distances to it.

    Parameters
    ----------
    steps : sequence of float
        Work done at each sample.
    memory : sequence of float
        Bytes of resident memory.
    """
    begin = int(len(steps) * _SETTLING)
    work, used = np.asarray(steps[begin:], np.float64) / 1e5, np.asarray(memory[begin:], np.float64) / 1e6
    if len(work) < 2 * _BLOCKS:
        raise SystemExit(f"{len(steps)} samples of memory are too few for a slope; let it run longer")
    x, y = (np.array([block.mean() for block in np.array_split(each, _BLOCKS)]) for each in (work, used))
    centred = x - x.mean()
    slope = float(centred @ y / (centred @ centred))
    rest = y - y.mean() - slope * centred
    error = _STUDENT * math.sqrt(float(rest @ rest) / (_BLOCKS - 2) / float(centred @ centred))
    return Growth(slope, slope - error, slope + error, float(used[0]), float(used[-1]))


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
