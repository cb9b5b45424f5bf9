"""Rounding weights: products stay close, and what x86 adds in 16 bits fits there."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_sam.quantize.rounding import LIMIT, round_weights, weight_scale


def heavy(inputs: int, outputs: int = 48) -> NDArray[np.float32]:
    """Weights with the tails that trained ones have."""
    return np.random.default_rng(inputs).standard_t(4, (inputs, outputs)).astype(np.float32)


def alike(inputs: int) -> NDArray[np.float32]:
    """Activations whose channels go together."""
    draw = np.random.default_rng(1)
    few = draw.normal(size=(2000, inputs // 4)) @ draw.normal(size=(inputs // 4, inputs))
    return (few + 0.1 * draw.normal(size=few.shape)).astype(np.float32)


def quantise(weight: NDArray[np.float32], *, pairs: bool) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    seen = alike(len(weight)).astype(np.float64)
    scale = weight_scale(weight, (0,), pairs=pairs)
    return round_weights(weight, scale, seen.T @ seen, pairs=pairs), scale


def multiply_add(integers: NDArray[np.int8], activation: int) -> NDArray[np.int64]:
    """Sums of two products u8 × s8 as ``vpmaddubsw`` makes them, before it cuts them to 16 bits."""
    whole = integers[: len(integers) // 2 * 2].astype(np.int64) * activation
    return np.asarray(whole[::2] + whole[1::2])


@pytest.mark.parametrize("inputs", [64, 65])
def test_no_pair_of_products_saturates(inputs: int) -> None:
    integers, _ = quantise(heavy(inputs), pairs=True)
    assert np.abs(multiply_add(integers, 255)).max() <= np.iinfo(np.int16).max
    assert np.abs(integers.astype(int)).max(axis=0).mean() > 90, "more than seven bits are used"


def test_without_that_bound_some_would() -> None:
    integers, _ = quantise(heavy(64), pairs=False)
    assert np.abs(integers.astype(int)).max() == LIMIT
    assert np.abs(multiply_add(integers, 255)).max() > np.iinfo(np.int16).max


@pytest.mark.parametrize("pairs", [True, False])
def test_products_are_closer_than_by_the_nearest_integer(pairs: bool) -> None:
    weight, seen = heavy(64), alike(64)
    integers, scale = quantise(weight, pairs=pairs)
    nearest = np.rint(weight / scale)
    errors = [np.abs(seen @ (rounded * scale - weight)).mean() for rounded in (integers, nearest)]
    assert errors[0] < 0.5 * errors[1]


def test_an_output_without_weights_stays_zero() -> None:
    weight = heavy(8)
    weight[:, 3] = 0
    integers, scale = quantise(weight, pairs=True)
    assert not integers[:, 3].any()
    assert np.isfinite(scale).all()
