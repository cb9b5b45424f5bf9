"""Observers: from statistics of an activation to the range that int8 covers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Range = tuple[float, float]
_SAMPLE = 4096
"""Values sampled from a tensor in each run."""
_ROWS, _STEPS = 128, 1000
"""Rows of a tensor that go into the Gram matrix in each run, and quantisation steps up to their largest magnitude."""
_TOGETHER = 1024
"""Fewest rows to collect before a matrix product."""
_BINS = 2048
_LEVELS = 128


@dataclass
class ActivationStatistics:
    """Statistics of one tensor: extremes of its channels, a random sample, and its Gram matrix.

    Attributes
    ----------
    low, high : ndarray of float32, (channels,)
        Minimum and maximum of each channel (the last axis).
    samples : list of ndarray of float32, (n,)
        Random samples.
    channels : list of ndarray of unsigned integer, (n,)
        The channel of each sample, in the smallest type that holds it.
    """

    low: NDArray[np.float32] = field(default_factory=lambda: np.full((), np.inf, np.float32))
    high: NDArray[np.float32] = field(default_factory=lambda: np.full((), -np.inf, np.float32))
    samples: list[NDArray[np.float32]] = field(default_factory=list)
    channels: list[NDArray[np.unsignedinteger[Any]]] = field(default_factory=list)
    _unit: float = 0.0
    _rows: list[NDArray[Any]] = field(default_factory=list)
    _gram: NDArray[np.float64] = field(default_factory=lambda: np.zeros(()))

    def add(self, values: NDArray[np.float32], draw: np.random.Generator) -> None:
        """Update the statistics with the tensor of one run."""
        rows = values.reshape(-1, values.shape[-1])
        self.low, self.high = np.minimum(self.low, rows.min(axis=0)), np.maximum(self.high, rows.max(axis=0))
        drawn = draw.integers(rows.size, size=min(_SAMPLE, rows.size))
        self.samples.append(rows.ravel()[drawn])
        self.channels.append((drawn % rows.shape[1]).astype(np.min_scalar_type(rows.shape[1] - 1)))
        rows = rows[draw.integers(len(rows), size=min(_ROWS, len(rows)))]
        self._unit = self._unit or float(np.abs(rows).max()) / _STEPS or 1.0
        # Sums of products of integers are exact, so they do not depend on the order of addition.
        self._rows.append(_compact(np.rint(rows / self._unit)))
        # The rows of a wide tensor use less memory than its Gram matrix for long.
        if sum(map(len, self._rows)) >= _TOGETHER and sum(each.nbytes for each in self._rows) >= 8 * rows.shape[1] ** 2:
            self._gram, self._rows = self.gram, []

    def divided(self, scale: NDArray[np.float32]) -> ActivationStatistics:
        """Return the statistics of the tensor divided by a scale, (channels,)."""
        return ActivationStatistics(
            self.low / scale,
            self.high / scale,
            [sample / scale[channels] for sample, channels in zip(self.samples, self.channels, strict=True)],
            self.channels,
            _gram=self.gram / np.multiply.outer(scale, scale).astype(np.float64),
        )

    @property
    def gram(self) -> NDArray[np.float64]:
        """Gram matrix of the channels, (channels, channels), in an arbitrary unit."""
        if not self._rows:
            return self._gram
        rows = np.concatenate(self._rows).astype(np.float64)
        return np.asarray(self._gram + rows.T @ rows)

    @property
    def sample(self) -> NDArray[np.float32]:
        """All samples, (N,)."""
        return np.concatenate(self.samples)


@dataclass(frozen=True)
class ActivationRange:
    """The range that integers cover, and the statistics that it was chosen by."""

    range: Range
    statistics: ActivationStatistics


def _compact(whole: NDArray[np.float32]) -> NDArray[Any]:
    """Return whole numbers in 16 bits if they fit, as they do unless a later run goes far beyond the first."""
    return whole.astype(np.int16) if np.abs(whole).max() <= np.iinfo(np.int16).max else whole


def min_max(seen: ActivationStatistics) -> Range:
    """Cover all values."""
    return float(seen.low.min()), float(seen.high.max())


def percentile(seen: ActivationStatistics) -> Range:
    """Cover all but one value in ten thousand at each end."""
    low, high = np.percentile(seen.sample, (0.01, 99.99))
    return float(low), float(high)


def entropy(seen: ActivationStatistics) -> Range:
    """Choose the threshold on the absolute value with the smallest Kullback-Leibler divergence.

    See Szymon Migacz, "8-bit inference with TensorRT", GTC 2017.
    """
    magnitude = np.abs(seen.sample)
    counts, edges = np.histogram(magnitude, bins=_BINS, range=(0, float(magnitude.max()) or 1.0))
    best = min(range(_LEVELS, _BINS + 1, 16), key=lambda cut: _divergence(counts, cut))
    limit = float(edges[best])
    low, high = min_max(seen)
    return max(low, -limit), min(high, limit)


def _divergence(counts: NDArray[np.int64], cut: int) -> float:
    """Return the divergence of the first `cut` bins, with the rest clipped into the last, from `_LEVELS` levels."""
    true = counts[:cut].astype(np.float64)
    level = np.arange(cut) * _LEVELS // cut
    filled = true > 0
    sums, bins = np.bincount(level, true, _LEVELS), np.bincount(level, filled, _LEVELS)
    guess = np.where(filled, (sums / np.maximum(bins, 1))[level], 0)
    true[-1] += counts[cut:].sum()
    guess[-1] = max(guess[-1], 1e-9)
    p, q = true / true.sum(), guess / guess.sum()
    some = p > 0
    return float(np.sum(p[some] * np.log(p[some] / np.maximum(q[some], 1e-12))))


OBSERVERS: dict[str, Callable[[ActivationStatistics], Range]] = {
    "min-max": min_max,
    "percentile": percentile,
    "entropy": entropy,
}
"""By name on the command line."""
