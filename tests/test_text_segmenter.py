"""Which masks words get, with matchers of a user's own: competition, regions, labels, streams."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import iou
from numpy.typing import NDArray
from PIL import Image

from edge_sam import MaskGenerator, Stream
from edge_sam.camera.word_prompts import WordPrompts
from edge_sam.errors import InputError
from edge_sam.imaging.masks import box_of
from edge_sam.predictor import Predictor
from edge_sam.prompts import Prompt
from edge_sam.text import TextSegmenter
from edge_sam.text.choice import MOST_CANDIDATES
from edge_sam.text.matcher import MatcherFacts, WordBoxes
from edge_sam.tracking import Tracked, Tracker

CUP = (76.0, 18.0, 478.0, 390.0)


class Boxes:
    """A matcher of a user's own: the cup, twice, for the word cup, and something far outside for every word."""

    threshold = 0.5
    facts = MatcherFacts("own", {}, "fp32", "none")

    def find(self, image: NDArray[np.uint8], phrases: Sequence[str], least: float) -> WordBoxes:  # noqa: ARG002 (the protocol)
        cups = [i for i, phrase in enumerate(phrases) if "cup" in phrase]
        words = [*cups, *cups, *range(len(phrases))]
        boxes, scores = ([CUP, tuple(value + 3 for value in CUP)], [0.7, 0.9]) if cups else ([], [])
        height, width = image.shape[:2]
        outside = [(width + 5.0, height + 5.0, width + 50.0, height + 60.0)] * len(phrases)
        certain = np.array([*scores, *[0.95] * len(phrases)], np.float32)
        return WordBoxes(np.array([*boxes, *outside]), certain, np.array(words))


def test_a_users_own_matcher_needs_three_members(predictor: Predictor, coffee: np.ndarray) -> None:
    segmenter = TextSegmenter(predictor, Boxes())
    result = segmenter.segment(coffee, ["a cup", "a  dog"], long_side=512)
    assert result.words == ["a cup"]
    assert result.masks.shape == (1, 400, 600)
    assert result.scores.tolist() == [pytest.approx(0.9)]
    assert result.predicted_iou.shape == (1,)
    assert "match" in result.timings
    assert result.boxes[0] == pytest.approx(CUP, abs=40)
    assert result.prompts[0].box is not None


class Places(Boxes):
    """A matcher that says where it was told to: box, score and number of the phrase."""

    def __init__(self, *places: tuple[tuple[float, ...], float, int]) -> None:
        self._places = places

    def find(self, image: NDArray[np.uint8], phrases: Sequence[str], least: float) -> WordBoxes:  # noqa: ARG002 (the protocol)
        boxes, scores, words = zip(*self._places, strict=True)
        return WordBoxes(np.array(boxes), np.array(scores, np.float32), np.array(words))


def test_an_object_gets_the_text_that_fits_it_best(predictor: Predictor, coffee: np.ndarray) -> None:
    near = tuple(value + 3 for value in CUP)
    matcher = Places((CUP, 0.7, 0), (near, 0.9, 1), ((500.0, 10.0, 590.0, 90.0), 0.6, 0))
    found = TextSegmenter(predictor, matcher).find(coffee, ["a cup", "a mug"])
    assert [(each.word, round(each.score, 1)) for each in found] == [("a mug", 0.9), ("a cup", 0.6)]
    assert [each.word for each in TextSegmenter(predictor, matcher, top=1).find(coffee, ["a cup", "a mug"])] == [
        "a mug",
        "a cup",
    ]
    every = TextSegmenter(predictor, matcher, exclusive=False).find(coffee, ["a cup", "a mug"])
    assert [each.word for each in every] == ["a mug", "a cup", "a cup"]


def test_boxes_outside_the_region_take_no_place_of_those_inside(predictor: Predictor, coffee: np.ndarray) -> None:
    region = np.zeros((400, 600), np.bool_)
    region[:, 480:] = True
    matcher = Places((CUP, 0.9, 0), ((500.0, 10.0, 590.0, 90.0), 0.6, 0))
    (found,) = TextSegmenter(predictor, matcher, top=1).find(coffee, "a cup", valid_mask=region)
    assert found.score == pytest.approx(0.6)
    with pytest.raises(InputError, match="valid_mask has shape"):
        TextSegmenter(predictor, matcher).find(coffee, "a cup", valid_mask=region[1:])


def test_a_threshold_of_0_leaves_the_best_candidates(predictor: Predictor, coffee: np.ndarray) -> None:
    columns = np.arange(MOST_CANDIDATES + 200) * 0.25
    places = [((column, 10.0, column + 40, 60.0), 0.001 + column / 1000, 0) for column in columns.tolist()]
    every = TextSegmenter(predictor, Places(*places), threshold=0, overlap=1)
    found = every.find(coffee, "a cup")
    assert len(found) == MOST_CANDIDATES
    assert found[0].score == pytest.approx(places[-1][1])
    assert found[-1].score == pytest.approx(places[-MOST_CANDIDATES][1])


class Blue:
    """An image-text pair of a user's own: how blue a picture is."""

    threshold, side = 0.5, 32
    facts = Boxes.facts

    def similarity(self, pictures: Iterable[NDArray[np.uint8]], phrases: Sequence[str]) -> NDArray[np.float32]:
        blue = np.array([each[..., 2].mean() - each[..., 0].mean() for each in pictures], np.float32)
        return np.stack([blue if phrase == "blue" else np.full_like(blue, 20) for phrase in phrases], axis=1)


def test_a_pair_gives_the_masks_that_it_compared(predictor: Predictor) -> None:
    image = np.full((240, 320, 3), 128, np.uint8)
    image[60:160, 80:200] = (40, 60, 200)
    generator = MaskGenerator(predictor, points_per_side=4, long_side=256, square=False)
    segmenter = TextSegmenter(predictor, Blue(), top=1, generator=generator)
    (found,) = segmenter.find(image, "blue")
    result = segmenter.segment(image, "blue")
    assert found.record is not None
    np.testing.assert_array_equal(result.masks[0], found.record["segmentation"])
    assert result.logits.shape == (1, 0, 0)
    drawn = np.zeros((240, 320), np.bool_)
    drawn[60:160, 80:200] = True
    assert iou(result.masks[0], drawn) > 0.95
    assert result.predicted_iou[0] == pytest.approx(found.record["predicted_iou"])


COLOURS = {"red": (200, 40, 40), "blue": (40, 60, 200)}


class Coloured(Boxes):
    """A matcher of a user's own: the part of a picture that has a colour's very value."""

    def find(self, image: NDArray[np.uint8], phrases: Sequence[str], least: float) -> WordBoxes:  # noqa: ARG002 (the protocol)
        found = {i: box_of((image == COLOURS[phrase]).all(axis=2)) for i, phrase in enumerate(phrases)}
        boxes = {i: box for i, box in found.items() if box is not None}
        places = np.array(list(boxes.values()), np.float64).reshape(-1, 4)
        return WordBoxes(places, np.full(len(boxes), 0.9, np.float32), np.array(list(boxes), np.intp))


def test_an_object_that_is_found_again_restarts_no_other(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, blue in enumerate((True, True, False, False, True, True)):
        image = np.full((240, 320, 3), 128, np.uint8)
        image[40:120, 30 + 4 * number : 110 + 4 * number] = COLOURS["red"]
        if blue:
            image[130:220, 190:290] = COLOURS["blue"]
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    starts: list[int] = []
    start = Tracker.start

    def counted(tracker: Tracker, image: NDArray[np.uint8], asked: Sequence[Prompt]) -> list[Tracked]:
        starts.append(len(asked))
        return start(tracker, image, asked)

    monkeypatch.setattr(Tracker, "start", counted)
    prompts = WordPrompts(TextSegmenter(predictor, Coloured()), ["red", "blue"], every=0)
    with Stream(tmp_path, predictor, prompts, every_frame=True, sinks=[prompts], long_side=512) as stream:
        frames = list(stream)
    assert starts == [2]
    states = [dict(zip(prompts.words_of(each), each.objects, strict=True)) for each in frames]
    assert [state["blue"].box is not None for state in states] == [True, True, False, False, True, True]
    red = states[-1]["red"]
    assert red.box is not None
    np.testing.assert_allclose(red.box, (50, 40, 130, 120), atol=6)


def test_a_pair_needs_a_background(predictor: Predictor) -> None:
    for background in ((), ("",)):
        with pytest.raises(InputError, match="background needs a text"):
            TextSegmenter(predictor, Boxes(), background=background)


def test_absent_objects_give_nothing(predictor: Predictor, coffee: np.ndarray) -> None:
    result = TextSegmenter(predictor, Boxes()).segment(coffee, "a dog", long_side=512)
    assert result.masks.shape == (0, 400, 600)
    assert result.words == []
    assert result.to_rle() == []
    assert result.boxes.shape == (0, 4)


def test_labels_go_to_the_masks_that_a_box_fits(predictor: Predictor, coffee: np.ndarray) -> None:
    cup, corner = np.zeros((2, 400, 600), np.bool_)
    cup[20:390, 80:480] = True
    corner[:40, :40] = True
    labels = TextSegmenter(predictor, Boxes()).label(coffee, [corner, cup], ["a dog", "a cup"])
    assert labels[0] is None
    assert labels[1] is not None
    assert labels[1][0] == "a cup"
