"""Prompts: what is accepted, and one clear line for what is not."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from edge_sam import InputError, Prompt
from edge_sam.imaging.geometry import Geometry
from edge_sam.prompts import combine, decoder_points

GEOMETRY = Geometry((480, 854))


def labels_of(*prompts: Prompt) -> list[list[int]]:
    labels: list[list[int]] = decoder_points(prompts, GEOMETRY)[1].tolist()
    return labels


def test_not_a_point_goes_with_points_alone() -> None:
    assert labels_of(Prompt(points=[(1, 2)])) == [[1, -1]]
    assert labels_of(Prompt(points=[(1, 2)], box=(0, 0, 9, 9))) == [[1, 2, 3]]
    assert labels_of(Prompt(box=(0, 0, 9, 9))) == [[2, 3]]
    assert labels_of(Prompt(mask=np.zeros((256, 256), np.float32))) == [[-2]]


def test_some_families_take_it_after_a_box_too() -> None:
    prompts = [Prompt(points=[(1, 2)]), Prompt(points=[(1, 2)], box=(0, 0, 9, 9)), Prompt(box=(0, 0, 9, 9))]
    _, labels = decoder_points(prompts, GEOMETRY, pad_boxes=True)
    assert labels.tolist() == [[1, -1, -2, -2], [1, 2, 3, -1], [2, 3, -1, -2]]


def test_unequal_prompts_are_filled_with_absent_points() -> None:
    short, long = Prompt(points=[(1, 2)]), Prompt(points=[(1, 2), (3, 4)], labels=[1, 0], box=(0, 0, 9, 9))
    assert labels_of(short, long) == [[1, -1, -2, -2], [1, 0, 2, 3]]


def test_coordinates_move_to_the_frame() -> None:
    coords, _ = decoder_points([Prompt(points=[(853, 479)])], GEOMETRY)
    np.testing.assert_allclose(coords[0, 0], [853 * 1024 / 854, 479 * 576 / 480], rtol=1e-6)


def test_a_box_is_cut_to_the_photograph() -> None:
    coords, _ = decoder_points([Prompt(box=(-50, 10, 9999, 20))], GEOMETRY)
    np.testing.assert_allclose(coords[0], [[0, 12], [1024, 24]])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "empty"),
        ({"points": []}, "empty"),
        ({"points": np.zeros((0, 2))}, "empty"),
        ({"points": [1, 2]}, r"shape \(2,\); expected \(K, 2\)"),
        ({"points": [(1, 2, 3)]}, "shape"),
        ({"points": [(1, 2), (3,)]}, "not numbers"),
        ({"points": [(10**400, 1)]}, "not real numbers"),
        ({"points": [(1j, 1)]}, "not real numbers"),
        ({"points": [(float("nan"), 2)]}, "finite"),
        ({"points": [("1", "2")]}, "not real numbers"),
        ({"points": [(1, 2)], "labels": [2]}, "label 2 is neither"),
        ({"points": [(1, 2)], "labels": [0.5]}, "label 0.5 is neither"),
        ({"points": [(1, 2)], "labels": [1, 0]}, "labels have shape"),
        ({"points": np.zeros((1001, 2))}, "1001 points in one prompt; give at most 1000"),
        ({"labels": [1]}, "labels were given without points"),
        ({"box": (10, 10, 10, 20)}, "is empty; expected x0 < x1"),
        ({"box": (10, 20, 30, 10)}, "is empty"),
        ({"box": (1, 2, 3)}, "box has shape"),
        ({"box": (0, 0, float("inf"), 5)}, "finite"),
        ({"mask": np.zeros((256, 258), np.float32)}, "mask prompt has shape"),
        ({"mask": np.zeros((2, 128, 128), np.float32)}, "mask prompt has shape"),
        ({"mask": np.zeros((256, 256), np.uint8)}, "mask prompt is uint8"),
        ({"mask": np.full((256, 256), np.nan, np.float32)}, "finite"),
        ({"mask": np.full((256, 256), 1e300)}, "beyond float32"),
        ({"mask": [[1.0], [1.0, 2.0]]}, "not an array"),
    ],
)
def test_refuses(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Prompt(**given)


@pytest.mark.parametrize("point", [(-1, 5), (854, 5), (5, 480), (5, -0.5)])
def test_refuses_a_point_outside(point: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="outside the 854×480 image"):
        decoder_points([Prompt(points=[point])], GEOMETRY)


def test_refuses_a_box_outside() -> None:
    with pytest.raises(InputError, match="outside the 854×480 image"):
        decoder_points([Prompt(box=(900, 10, 950, 20))], GEOMETRY)


def test_points_and_boxes_are_combined() -> None:
    assert combine([], None, []) == []
    assert [np.asarray(prompt.box).tolist() for prompt in combine([], None, [(0, 0, 5, 5), (1, 1, 9, 9)])] == [
        [0, 0, 5, 5],
        [1, 1, 9, 9],
    ]
    (both,) = combine([(1, 2), (3, 4)], [1, 0], [(0, 0, 5, 5)])
    assert repr(both) == "Prompt(points=[[1.0, 2.0], [3.0, 4.0]], labels=[1, 0], box=[0.0, 0.0, 5.0, 5.0])"
    with pytest.raises(InputError, match="points cannot be combined with several boxes"):
        combine([(1, 2)], None, [(0, 0, 5, 5), (1, 1, 9, 9)])


def test_prompts_of_the_same_values_are_equal() -> None:
    mask = np.zeros((256, 256), np.float32)
    given: list[dict[str, Any]] = [
        {"points": [(1, 2)]},
        {"points": [(1, 3)]},
        {"points": [(1, 2)], "labels": [0]},
        {"points": [(1, 2), (1, 2)]},
        {"box": (0, 0, 9, 9)},
        {"box": (0, 0, 9, 9), "points": [(1, 2)]},
        {"mask": mask},
        {"mask": mask + 1},
    ]
    for i, ours in enumerate(given):
        for j, theirs in enumerate(given):
            assert (Prompt(**ours) == Prompt(**theirs)) == (i == j)
        assert hash(Prompt(**ours)) == hash(Prompt(**ours))
        assert pickle.loads(pickle.dumps(Prompt(**ours))) == copy.deepcopy(Prompt(**ours)) == Prompt(**ours)
    assert len({Prompt(**each) for each in given * 2}) == len(given)
    assert Prompt(points=[(0.0, 1)]) == Prompt(points=np.array([[-0.0, 1]]))
    assert hash(Prompt(points=[(0.0, 1)])) == hash(Prompt(points=np.array([[-0.0, 1]])))
    assert Prompt(points=[(1, 2)]) == Prompt(points=[(1, 2)], labels=[1])
    assert Prompt(points=[(1, 2)]) != "Prompt"


def test_a_prompt_keeps_its_own_values() -> None:
    points, box, mask = np.array([[1.0, 2.0]]), np.array([0.0, 0, 9, 9]), np.zeros((256, 256), np.float32)
    prompt = Prompt(points, np.array([1]), box, mask)
    points[:] = box[:] = mask[:] = 5
    assert prompt == Prompt([(1, 2)], [1], (0, 0, 9, 9), np.zeros((256, 256), np.float32))
    for array in (prompt.points, prompt.labels, prompt.box, prompt.mask):
        assert array is not None
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 7


def test_limits_are_exact() -> None:
    assert len(Prompt(points=np.zeros((1000, 2))).points) == 1000  # type: ignore[arg-type]
    Prompt(box=(853, 479, 900, 500)).check((480, 854))
    Prompt(box=(-9, -9, 1, 1)).check((480, 854))
    for box in ((854, 0, 900, 9), (0, 480, 9, 500), (-9, 0, 0, 9), (0, -9, 9, 0)):
        with pytest.raises(InputError, match="outside"):
            Prompt(box=box).check((480, 854))
    for box in ((5, 0, 5, 9), (0, 5, 9, 5)):
        with pytest.raises(InputError, match="is empty; expected x0 < x1 and y0 < y1"):
            Prompt(box=box)


def test_one_mask_of_a_result_may_keep_its_first_axis() -> None:
    mask = np.random.default_rng(0).normal(size=(1, 256, 256)).astype(np.float32)
    assert Prompt(mask=mask) == Prompt(mask=mask[0])
    assert Prompt(mask=mask) != Prompt(mask=-mask)
    assert Prompt(mask=mask) != Prompt(points=[(1, 1)])


def test_prompts_without_points_have_none() -> None:
    coords, labels = decoder_points([Prompt(points=[], mask=np.zeros((256, 256), np.float32))], GEOMETRY)
    assert (coords.shape, labels.shape) == ((1, 1, 2), (1, 1))
    assert labels.dtype == np.int64
