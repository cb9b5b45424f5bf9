"""Means with confidence intervals."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

RESAMPLES = 2000
_BATCH = 100
"""Resamples drawn at once. All of them would take 16 kB for each group."""
CONFIDENCE = 0.95


class Estimate(msgspec.Struct, frozen=True):
    """A mean, its 95 % confidence interval, and the number of objects."""

    mean: float
    low: float
    high: float
    objects: int


def estimate_mean(values: Sequence[float], groups: Sequence[str], seed: int) -> Estimate:
    """Return the mean over objects with its percentile bootstrap interval.

    The objects of one photograph or video are correlated, so whole groups are resampled, not single objects: the
    cluster bootstrap of A. C. Davison and D. V. Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8.
    With a single group, the interval shrinks to the mean and means nothing.

    Parameters
    ----------
    values : sequence of float, (N,)
        One for each object. In a paired comparison, the differences.
    groups : sequence of str, (N,)
        The group of each object.
    seed : int
        Seed of the resampling.
    """
    names, member = np.unique(groups, return_inverse=True)
    sums = np.bincount(member, weights=values, minlength=len(names))
    counts = np.bincount(member, minlength=len(names))
    random = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    for first in range(0, RESAMPLES, _BATCH):
        drawn = random.integers(len(names), size=(_BATCH, len(names)))
        means[first : first + _BATCH] = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(float(np.mean(values)), float(low), float(high), len(values))
