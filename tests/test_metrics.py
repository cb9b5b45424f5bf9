"""Scores, clicks and intervals against figures worked out by other means."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scenes import disc

from edge_sam.evaluation.bootstrap import estimate_mean
from edge_sam.evaluation.clicks import next_click, tight_box
from edge_sam.evaluation.metrics import boundary_f, boundary_iou
from edge_sam.imaging.masks import iou, most_interior

EMPTY = np.zeros((60, 80), bool)
EVERYTHING = np.ones((60, 80), bool)


def square(x: int, y: int, side: int) -> np.ndarray:
    mask = EMPTY.copy()
    mask[y : y + side, x : x + side] = True
    return mask


def test_iou_counts_valid_pixels_only() -> None:
    a, b = square(10, 10, 20), square(20, 10, 20)
    assert iou(a, b) == pytest.approx(200 / 600)
    left = EVERYTHING.copy()
    left[:, 30:] = False
    assert iou(a, b, left) == pytest.approx(200 / 400)
    assert iou(EMPTY, EMPTY) == 1
    assert iou(a, EMPTY) == 0


def test_boundary_iou_compares_inner_bands() -> None:
    a = square(10, 10, 40)
    width = round(0.02 * math.hypot(60, 80))
    assert width == 2
    larger = square(9, 9, 42)
    band, larger_band = 40**2 - 36**2, 42**2 - 38**2
    common = 40**2 - 38**2  # The outermost ring of the smaller lies in the second ring of the larger.
    assert boundary_iou(a, larger) == pytest.approx(common / (band + larger_band - common))
    assert boundary_iou(a, a) == boundary_iou(EMPTY, EMPTY) == 1
    # The edge of the image is a boundary as well: a mask that covers it all has a frame for a band.
    inside = square(5, 5, 50)
    frame, ring = 60 * 80 - 56 * 76, 54**2 - 50**2
    assert boundary_iou(EVERYTHING, EVERYTHING & ~inside) == pytest.approx(frame / (frame + ring))


def test_boundary_f_forgives_the_tolerance_and_no_more() -> None:
    reach = math.ceil(0.008 * math.hypot(60, 80))
    assert reach == 1
    a = square(20, 20, 20)
    assert boundary_f(a, a) == boundary_f(EMPTY, EMPTY) == 1
    assert boundary_f(a, EMPTY) == boundary_f(EMPTY, a) == 0
    assert boundary_f(square(21, 20, 20), a) == 1
    assert boundary_f(square(25, 20, 20), a) < 0.7
    assert boundary_f(square(50, 30, 20), a) == 0


def test_boundary_f_agrees_with_counting() -> None:
    def edges(mask: np.ndarray) -> set[tuple[int, int]]:
        height, width = mask.shape
        return {
            (y, x)
            for y in range(height)
            for x in range(width)
            if any(
                mask[min(y + dy, height - 1), min(x + dx, width - 1)] != mask[y, x]
                for dy, dx in ((0, 1), (1, 0), (1, 1))
            )
        }

    def matched(these: set[tuple[int, int]], those: set[tuple[int, int]]) -> float:
        near = [any((y - v) ** 2 + (x - u) ** 2 <= 1 for v, u in those) for y, x in these]
        return float(np.mean(near))

    a, b = disc((60, 80), 30, 30, 17), disc((60, 80), 33, 30, 16)
    precision, recall = matched(edges(a), edges(b)), matched(edges(b), edges(a))
    assert 0 < precision < 1
    assert boundary_f(a, b) == pytest.approx(2 * precision * recall / (precision + recall))


def test_the_most_interior_pixel_counts_the_edge_of_the_image_as_outside() -> None:
    assert most_interior(square(10, 20, 21)) == (20, 30)
    half = EMPTY.copy()
    half[:, :21] = True
    assert most_interior(half)[0] == 10
    assert tight_box(square(10, 20, 21)) == (10, 20, 30, 40)


def test_the_next_click_goes_where_the_error_is_deepest() -> None:
    truth = square(10, 10, 20)
    missing = truth & ~square(10, 10, 11)
    assert next_click(missing, truth, EVERYTHING, []) == ((15, 15), 1)
    excess = truth | square(50, 30, 9)
    assert next_click(excess, truth, EVERYTHING, []) == ((54, 34), 0)
    again = next_click(excess, truth, EVERYTHING, [(54, 34)])
    assert again is not None
    assert again[0] != (54, 34)
    assert next_click(truth, truth, EVERYTHING, []) is None
    assert next_click(excess, truth, ~square(50, 30, 9), []) is None


def test_intervals_know_about_groups() -> None:
    random = np.random.default_rng(1)
    values = random.normal(0.7, 0.1, 400)
    single = estimate_mean(values.tolist(), [str(i) for i in range(400)], 0)
    assert single.mean == pytest.approx(values.mean())
    # The interval of a normal mean is known: 1.96 standard errors to each side.
    expected = 1.96 * values.std() / math.sqrt(400)
    assert (single.high - single.low) / 2 == pytest.approx(expected, rel=0.1)
    # Ten equal objects on each photograph say no more than one.
    copies = estimate_mean(np.repeat(values[:40], 10).tolist(), [str(i // 10) for i in range(400)], 0)
    few = estimate_mean(values[:40].tolist(), [str(i) for i in range(40)], 0)
    assert copies.high - copies.low == pytest.approx(few.high - few.low, rel=1e-6)


def test_a_steady_difference_is_found_where_scores_vary() -> None:
    random = np.random.default_rng(2)
    first = random.uniform(0.2, 0.9, 50)
    differences = (first + 0.01 + random.normal(0, 0.002, 50)) - first
    estimate = estimate_mean(differences.tolist(), [str(i) for i in range(50)], 0)
    assert 0.008 < estimate.low < 0.01 < estimate.high < 0.012
