"""Which of the decoder's masks is shown."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import PHOTOGRAPHS

from edge_sam.errors import InputError
from edge_sam.imaging.geometry import LOGITS
from edge_sam.predictor import Predictor
from edge_sam.preference import Rule, choose, suitable, with_steady_single
from edge_sam.prompts import Prompt

CLICK = Prompt(points=[(5, 5)])
BOX = Prompt(box=(0, 0, 9, 9))
MASK = np.zeros((LOGITS, LOGITS), np.float32)


def squares(*sides: int, top: int = 20) -> np.ndarray:
    """Logits of 100×200 cells: nested squares of these sides, off the edges; the first is token 0's."""
    logits = np.full((4, 100, 200), -5, np.float32)
    for plane, side in zip(logits, sides, strict=True):
        plane[top : top + side, 20 : 20 + side] = 5
    return logits


def test_object_is_the_largest_and_part_the_smallest_close_to_the_best() -> None:
    logits, scores = squares(5, 20, 60, 40), np.array([1, 0.95, 0.80, 0.91], np.float32)
    answers = {prefer: choose(logits, scores, prefer, CLICK) for prefer in ("object", "best", "part", "single")}
    assert answers == {"object": 3, "best": 1, "part": 1, "single": 0}
    scores[2] = 0.90
    assert choose(logits, scores, "object", CLICK) == 2
    scores[1:] = 0.90, 0.95, 0.91
    assert choose(logits, scores, "part", CLICK) == 1


def test_a_clump_below_a_hundredth_of_the_photograph_is_no_object() -> None:
    scores = np.array([0, 0.95, 0.94, 0], np.float32)
    assert choose(squares(0, 7, 13, 0), scores, "object", CLICK) == 1  # 13² of 20,000 cells
    assert choose(squares(0, 7, 15, 0), scores, "object", CLICK) == 2  # 15²


def test_what_lies_along_the_edges_is_no_object() -> None:
    logits, scores = squares(0, 20, 60, 0), np.array([0, 0.95, 0.94, 0], np.float32)
    logits[2, :30] = 5  # The upper edge and parts of two more: over a fifth of the outline.
    assert choose(logits, scores, "object", CLICK) == 1
    logits[2, :30] = -5
    logits[2, 0, :100] = 5  # A sixth.
    assert choose(logits, scores, "object", CLICK) == 2


def test_the_best_stays_where_it_is_the_largest() -> None:
    logits, scores = squares(0, 20, 60, 0), np.array([0, 0.94, 0.95, 0], np.float32)
    logits[2, 0] = logits[2, -1] = 5
    assert choose(logits, scores, "object", CLICK) == 2


def test_empty_masks_are_nobodys_preference() -> None:
    logits, scores = squares(0, 20, 0, 0), np.array([0, 0.9, 0.94, 0.93], np.float32)
    assert choose(logits, scores, "part", CLICK) == 1
    assert choose(logits, scores, "object", CLICK) == 1


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        (CLICK, "object"),
        (Prompt(points=[(1, 1), (2, 2)], labels=[1, 0]), "object"),
        (BOX, "best"),
        (Prompt(points=[(1, 1)], box=(0, 0, 9, 9)), "best"),
        (Prompt(points=[(1, 1)], mask=MASK), "refined"),
        (Prompt(points=[(1, 1), (2, 2), (3, 3), (4, 4)], mask=MASK), "refined"),
        (Prompt(points=[(i, i) for i in range(5)], mask=MASK), "single"),
        (Prompt(points=[(1, 1), (2, 2), (3, 3)]), "object"),
        (Prompt(mask=MASK), "single"),
        (Prompt(points=[], mask=MASK), "single"),
    ],
)
def test_auto_depends_on_the_prompt(prompt: Prompt, expected: Rule) -> None:
    assert suitable(prompt) == expected
    if expected == "refined":
        return
    logits, scores = squares(5, 20, 60, 40), np.array([0.5, 0.95, 0.80, 0.91], np.float32)
    assert choose(logits, scores, "auto", prompt) == choose(logits, scores, expected, prompt)


def test_points_that_refine_a_mask_take_one_that_resembles_it() -> None:
    logits = squares(60, 20, 58, 100)
    before = np.full((256, 256), -5, np.float32)
    before[:100, :200] = squares(60, 0, 0, 0)[0]
    prompt = Prompt(points=[(1, 1)], mask=before)
    assert choose(logits, np.array([0.80, 0.98, 0.80, 0.90], np.float32), "auto", prompt) == 0
    assert choose(logits, np.array([0.80, 0.98, 0.90, 0.90], np.float32), "auto", prompt) == 2
    assert choose(logits, np.array([0.30, 0.98, 0.30, 0.30], np.float32), "auto", prompt) == 1
    assert choose(logits, np.array([0.80, 0.98, 0.80, 0.90], np.float32), "best", prompt) == 1


def test_a_click_on_a_face_shows_the_person_or_the_face(predictor: Predictor) -> None:
    embedding = predictor.encode(PHOTOGRAPHS / "astronaut.png")
    click = Prompt(points=[(220, 100)])
    three = predictor.predict(embedding, click)
    areas = three.masks.sum(axis=(1, 2))
    assert three.preferred["best"] == 0
    assert areas[three.preferred["object"]] > 5 * areas[three.preferred["part"]]
    for prefer, index in three.preferred.items():
        one = predictor.predict(embedding, click, multimask=False, prefer=prefer)  # type: ignore[call-overload]
        np.testing.assert_array_equal(one.masks[0], three.masks[index])
        assert one.preferred == {}
    shown = predictor.predict(embedding, click, multimask=False)
    np.testing.assert_array_equal(shown.masks[0], three.masks[three.preferred["object"]])


def test_an_unknown_preference_is_refused(predictor: Predictor) -> None:
    embedding = predictor.encode(PHOTOGRAPHS / "coffee.png", long_side=256)
    for prefer in ("whole", None, 3):
        with pytest.raises(InputError, match=r"unknown preference .*; known: auto, object, best, part, single"):
            predictor.predict(embedding, CLICK, prefer=prefer)  # type: ignore[call-overload]


def test_an_unstable_single_mask_gives_way_to_the_best_of_the_three() -> None:
    """With a threshold of 0.98, 98 of 100 cells are enough."""
    logits = squares(10, 5, 6, 7)
    scores = np.array([0.1, 0.2, 0.9, 0.3], np.float32)
    logits[0, 0, :2] = 0.01
    assert with_steady_single(logits, scores, 0.98)[0] is logits
    logits[0, 0, 2] = 0.01
    changed, changed_scores = with_steady_single(logits, scores, 0.98)
    np.testing.assert_array_equal(changed, logits[[2, 1, 2, 3]])
    np.testing.assert_array_equal(changed_scores, scores[[2, 1, 2, 3]])
    empty = np.full_like(logits, -1)
    assert with_steady_single(empty, scores, 0.98)[0] is empty
