"""Means with an interval that says how far they can be trusted."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

RESAMPLES = 2000
CONFIDENCE = 0.95


class Estimate(msgspec.Struct, frozen=True):
    """A mean, the interval that it lies in with 95 % confidence, and the number of objects behind it."""

    mean: float
    low: float
    high: float
    objects: int


def estimate_mean(values: Sequence[float], groups: Sequence[str], seed: int) -> Estimate:
    """Mean over objects with its percentile bootstrap interval.

    Objects on one photograph (frames of one video) are alike, so whole groups are drawn, not single objects: the
    cluster bootstrap of A. C. Davison and D. V. Hinkley, "Bootstrap Methods and their Application", 1997, section
    3.8. With one group the interval is the mean itself and says nothing.

    Parameters
    ----------
    values : sequence of float, (N,)
        One for each object; of a paired comparison, the differences.
    groups : sequence of str, (N,)
        What each belongs to.
    seed : int
        Of the random draws.
    """
    names, member = np.unique(groups, return_inverse=True)
    sums = np.bincount(member, weights=values, minlength=len(names))
    counts = np.bincount(member, minlength=len(names))
    random = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        drawn = random.integers(len(names), size=len(names))
        means[i] = sums[drawn].sum() / counts[drawn].sum()
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(float(np.mean(values)), float(low), float(high), len(values))
