"""Following objects through clips made from the shipped photographs."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import PHOTOGRAPHS, iou, read_rgb

from edge_sam import ImageEmbedding, InputError, Predictor, Prompt
from edge_sam.errors import RuntimeUnavailableError
from edge_sam.imaging.masks import box_of
from edge_sam.tracking import Tracked, Tracker, appearance

CUP = (76, 18, 478, 390)


def shifted(image: np.ndarray, x: float, y: float, zoom: float = 1.0) -> np.ndarray:
    """Move a picture by (x, y) pixels, enlarged about its corner; the gap mirrors what is beside it."""
    matrix = np.array([[zoom, 0, x], [0, zoom, y]])
    return cv2.warpAffine(image, matrix, image.shape[1::-1], borderMode=cv2.BORDER_REFLECT)


def moved(mask: np.ndarray, x: float, y: float, zoom: float = 1.0) -> np.ndarray:
    """Move a mask as `shifted` does a picture; what comes in is not on it."""
    matrix = np.array([[zoom, 0, x], [0, zoom, y]])
    return cv2.warpAffine(mask.view(np.uint8), matrix, mask.shape[1::-1]).astype(bool)


@pytest.fixture
def tracker(predictor: Predictor) -> Tracker:
    return Tracker(predictor, long_side=512)


@pytest.fixture(scope="module")
def cutout(predictor: Predictor, coffee: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A small cup without its table, and its mask."""
    mask = predictor.predict(predictor.encode(coffee), Prompt(box=CUP), multimask=False).masks[0]
    size = (200, 133)
    small = cv2.resize(mask.view(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(bool)
    return cv2.resize(coffee, size, interpolation=cv2.INTER_AREA), small


def pasted(cutout: tuple[np.ndarray, np.ndarray], ground: np.ndarray, x: int, y: int) -> tuple[np.ndarray, np.ndarray]:
    """Put the small cup on a photograph; what comes back is the picture and the cup's mask."""
    picture, shape = cutout
    frame, mask = ground.copy(), np.zeros(ground.shape[:2], dtype=bool)
    region = np.s_[y : y + shape.shape[0], x : x + shape.shape[1]]
    frame[region][shape] = picture[shape]
    mask[region] = shape
    return frame, mask


def test_a_moving_and_growing_cup_is_held(tracker: Tracker, coffee: np.ndarray) -> None:
    (first,) = tracker.start(coffee, [Prompt(box=CUP)])
    assert first.state == "held"
    for step in range(1, 5):
        motion = 12.0 * step, -6.0 * step, 1 + 0.02 * step
        (tracked,) = tracker.step(shifted(coffee, *motion))
        assert tracked.state == "held"
        assert iou(tracked.mask, moved(first.mask, *motion)) > 0.85
        assert tracked.box is not None
        left, top, right, bottom = tracked.box.astype(int)
        assert tracked.mask[top:bottom, left:right].sum() == tracked.mask.sum()
    assert {"compare", "preprocess", "encode", "search", "decode"} <= set(tracker.timings)


def test_an_object_that_crosses_another_picture_is_held(
    tracker: Tracker, cutout: tuple[np.ndarray, np.ndarray]
) -> None:
    ground = read_rgb(PHOTOGRAPHS / "rocket.jpg")
    frame, mask = pasted(cutout, ground, 20, 40)
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    tracker.start(frame, [Prompt(box=(left, top, left + width, top + height))])
    for step in range(1, 5):
        frame, mask = pasted(cutout, ground, 20 + 50 * step, 40 + 20 * step)
        (tracked,) = tracker.step(frame)
        assert tracked.state == "held"
        assert iou(tracked.mask, mask) > 0.8


def test_an_object_that_leaves_is_lost_and_one_that_comes_back_elsewhere_is_found(
    tracker: Tracker, cutout: tuple[np.ndarray, np.ndarray]
) -> None:
    ground = read_rgb(PHOTOGRAPHS / "rocket.jpg")
    frame, mask = pasted(cutout, ground, 20, 40)
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    tracker.start(frame, [Prompt(box=(left, top, left + width, top + height))])
    for empty in (ground, shifted(ground, 5, 0), np.zeros_like(ground)):
        (tracked,) = tracker.step(empty)
        assert (tracked.state, tracked.box, tracked.score) == ("lost", None, 0.0)
        assert not tracked.mask.any()
    frame, mask = pasted(cutout, ground, 400, 250)
    (tracked,) = tracker.step(frame)
    assert tracked.state == "held"
    assert iou(tracked.mask, mask) > 0.7


@pytest.mark.thorough
def test_several_objects_are_followed_as_one_by_one(predictor: Predictor, coffee: np.ndarray) -> None:
    prompts = [Prompt(box=CUP), Prompt(points=[(520, 60)])]
    frames = [shifted(coffee, 8.0 * step, 4.0 * step) for step in range(3)]

    def follow(some: list[Prompt]) -> list[list[np.ndarray]]:
        tracker = Tracker(predictor, long_side=512)
        tracker.start(frames[0], some)
        return [[tracked.mask for tracked in tracker.step(frame)] for frame in frames[1:]]

    alone = [follow([prompt]) for prompt in prompts]
    for step, masks in enumerate(follow(prompts)):
        for index, mask in enumerate(masks):
            assert iou(mask, alone[index][step][0]) > 0.99


def test_a_still_frame_uses_the_embedding_again(tracker: Tracker, coffee: np.ndarray) -> None:
    (first,) = tracker.start(coffee, [Prompt(box=CUP)])
    noise = np.random.default_rng(0).normal(0, 3, coffee.shape)
    still = np.clip(coffee + noise, 0, 255).astype(np.uint8)
    (again,) = tracker.step(still)
    assert set(tracker.timings) == {"reused"}
    assert (again.state, again.score) == (first.state, first.score)
    np.testing.assert_array_equal(again.mask, first.mask)
    patch = still.copy()
    patch[200:230, 200:230] += 60
    tracker.step(patch)
    assert "encode" in tracker.timings
    tracker.long_side = 496
    tracker.step(patch)
    assert "encode" in tracker.timings


@pytest.mark.thorough
def test_the_long_side_may_change(predictor: Predictor, coffee: np.ndarray) -> None:
    tracker = Tracker(predictor, long_side=1024)
    first = tracker.start(coffee, [Prompt(box=CUP), Prompt(points=[(520, 60)])])
    for step, long_side in enumerate((1024, 256, 256, 1024, 256), start=1):
        buffer = shifted(coffee, 8.0 * step, 4.0 * step)
        changed, tracker.long_side = tracker.long_side != long_side, long_side
        found = tracker.step(buffer)
        buffer[:] = 0
        assert ("recall" in tracker.timings) == changed
        for before, tracked, bound in zip(first, found, (0.97, 0.7), strict=True):
            assert tracked.state == "held"
            assert iou(tracked.mask, moved(before.mask, 8 * step, 4 * step)) > bound


def test_a_mask_is_carried_without_the_model(tracker: Tracker, coffee: np.ndarray) -> None:
    (first,) = tracker.start(coffee, [Prompt(box=CUP)])
    for step in range(1, 4):
        (tracked,) = tracker.step(shifted(coffee, 5.0 * step, 3.0 * step), encode=False)
        assert tracked.state == "carried"
        assert set(tracker.timings) == {"compare", "flow"}
    assert iou(tracked.mask, moved(first.mask, 15, 9)) > 0.95
    (tracked,) = tracker.step(shifted(coffee, 20, 12))
    assert tracked.state == "held"


@pytest.mark.parametrize("encode", [True, False])
def test_frames_may_change_their_size(tracker: Tracker, coffee: np.ndarray, encode: bool) -> None:
    (first,) = tracker.start(coffee, [Prompt(box=CUP)])
    half = np.asarray(cv2.resize(coffee, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    (tracked,) = tracker.step(half, encode=encode)
    assert tracked.state == ("held" if encode else "carried")
    expected = cv2.resize(first.mask.view(np.uint8), half.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    assert iou(tracked.mask, expected.astype(bool)) > 0.9


@pytest.mark.parametrize("anywhere", [False, True])
def test_labels_are_a_weighted_mean_of_what_is_near(anywhere: bool) -> None:
    rng = np.random.default_rng(3)
    tokens = rng.normal(size=(12, 40, 256)).astype(np.float32)
    tokens /= np.linalg.norm(tokens, axis=-1, keepdims=True)
    cover = rng.random((12, 40)).astype(np.float32)
    before, box = np.array([4.0, 1.0, 30.0, 11.0]), np.array([8.0, 2.0, 36.0, 10.0])
    earlier = appearance.appearance_of(tokens[::-1].copy(), cover, before)
    window = appearance.whole(tokens) if anywhere else appearance.window_around(box, tokens)
    labels = appearance.label_tokens(tokens, window, [earlier], None if anywhere else box)
    moved = np.array([6.0, 22.0]) - np.array([6.0, 17.0])  # Row and column of the boxes' centres.
    there = np.indices(earlier.cover.shape) + np.maximum(0, np.floor(before[1::-1] - 10))[:, None, None]
    assert labels.shape == tokens[window].shape[:2]
    for row, column in ((0, 0), (5, 20), (11, 39)):
        weights = np.exp((earlier.tokens @ tokens[row, column] - 1) / 0.07)
        if not anywhere:
            place = np.array([row, column]) - moved
            weights[(np.abs(there - place[:, None, None]) > 10).any(axis=0)] = 0
        corner = window[0].start, window[1].start
        expected = (weights * earlier.cover).sum() / weights.sum()
        assert labels[row - corner[0], column - corner[1]] == pytest.approx(expected, abs=1e-5)


EncodedFrame = tuple[np.ndarray, list[np.ndarray]]
Place = tuple[int, int] | None


def twins(cutout: tuple[np.ndarray, np.ndarray], *places: Place) -> EncodedFrame:
    """Put a cup at each place on a photograph; what comes back is the picture and the mask of each."""
    frame, masks = read_rgb(PHOTOGRAPHS / "rocket.jpg"), []
    for place in places:
        mask = np.zeros(frame.shape[:2], dtype=bool)
        if place is not None:
            frame, mask = pasted(cutout, frame, *place)
        masks.append(mask)
    return frame, masks


@pytest.mark.parametrize(
    "frames",
    [
        # One leaves, far from the other or near it, and comes back somewhere else.
        [((30, 40), (400, 250)), (None, (395, 250)), (None, (390, 250)), ((100, 60), (390, 250))],
        [((30, 250), (300, 250)), (None, (295, 250)), (None, (290, 250)), ((30, 40), (280, 250))],
        [((30, 250), (300, 250)), ((30, 250), None), ((40, 250), None), ((40, 250), (300, 60))],
    ],
)
def test_a_twin_that_leaves_is_lost_and_the_other_is_held(
    predictor: Predictor, cutout: tuple[np.ndarray, np.ndarray], frames: list[tuple[Place, Place]]
) -> None:
    tracker = Tracker(predictor, long_side=256)
    image, masks = twins(cutout, *frames[0])
    tracker.start(image, [Prompt(box=box_of(mask)) for mask in masks])
    for places in frames[1:]:
        image, masks = twins(cutout, *places)
        for tracked, place, mask in zip(tracker.step(image), places, masks, strict=True):
            assert tracked.state == ("lost" if place is None else "held")
            assert iou(tracked.mask, mask) > 0.9


def test_of_two_lost_twins_only_one_takes_the_place_of_the_first_that_comes_back(
    predictor: Predictor, cutout: tuple[np.ndarray, np.ndarray]
) -> None:
    tracker = Tracker(predictor, long_side=256)
    image, masks = twins(cutout, (30, 40), (400, 250))
    tracker.start(image, [Prompt(box=box_of(mask)) for mask in masks])
    empty, _ = twins(cutout)
    assert [tracked.state for tracked in tracker.step(empty)] == ["lost", "lost"]
    for x in (380, 370):
        image, (mask,) = twins(cutout, (x, 250))
        found = tracker.step(image)
        assert sorted(tracked.state for tracked in found) == ["held", "lost"]
        assert iou(found[0].mask | found[1].mask, mask) > 0.9
    image, masks = twins(cutout, (30, 40), (370, 250))
    found = sorted(tracker.step(image), key=lambda tracked: float(tracked.box[0]) if tracked.box is not None else 0)
    for tracked, mask in zip(found, masks, strict=True):
        assert iou(tracked.mask, mask) > 0.9


def test_objects_that_overlapped_from_the_first_go_on_doing_so(predictor: Predictor, coffee: np.ndarray) -> None:
    """The cup with its saucer, and the cup again: two prompts on one thing are no rivals, also after a cut."""
    tracker = Tracker(predictor, long_side=256)
    first = tracker.start(coffee, [Prompt(box=CUP), Prompt(box=CUP)])
    tracker.step(read_rgb(PHOTOGRAPHS / "rocket.jpg"))
    for tracked in tracker.step(shifted(coffee, 6, 4)):
        assert tracked.state == "held"
        assert iou(tracked.mask, moved(first[0].mask, 6, 4)) > 0.85


class Failing(Predictor):
    """The real model, which fails the next times that it is to encode a photograph, after so many that work."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__(predictor.model)
        self.fails_after: int | None = None

    def encode(
        self, image: np.ndarray | str | Path, *, long_side: int = 1024, square: bool | None = None
    ) -> ImageEmbedding:
        if self.fails_after == 0:
            raise RuntimeUnavailableError("the device is gone")
        self.fails_after = None if self.fails_after is None else self.fails_after - 1
        return super().encode(image, long_side=long_side, square=square)


def same(ours: list[Tracked], theirs: list[Tracked]) -> bool:
    return all(
        a.state == b.state and a.score == b.score and np.array_equal(a.mask, b.mask)
        for a, b in zip(ours, theirs, strict=True)
    )


def test_what_fails_changes_nothing(predictor: Predictor, coffee: np.ndarray) -> None:
    frames = [shifted(coffee, 8.0 * step, 4.0 * step) for step in range(5)]
    failing = Failing(predictor)
    ours, theirs = Tracker(failing, long_side=256), Tracker(predictor, long_side=256)
    half = np.asarray(cv2.resize(coffee, None, fx=0.5, fy=0.5), dtype=np.uint8)

    def fail(encodes: int) -> None:
        """Fail in every way, also at each encode that recalling the objects takes."""
        ours.long_side = 250
        with pytest.raises(InputError, match="long_side is 250"):
            ours.step(half)
        ours.long_side = 272
        for failing.fails_after in range(encodes):
            with pytest.raises(RuntimeUnavailableError):
                ours.step(half)
        failing.fails_after = None
        with pytest.raises(InputError, match="outside"):
            ours.start(half, [Prompt(box=CUP), Prompt(points=[(299.5, 10), (300, 10)])])
        with pytest.raises(InputError, match="reads no text"):
            ours.start(half, ["cup"])  # type: ignore[list-item]
        with pytest.raises(InputError, match="shape"):
            ours.step(half[..., 0])
        ours.long_side = 256

    prompts = [Prompt(box=CUP), Prompt(points=[(520, 60)])]
    assert same(ours.start(frames[0], prompts), theirs.start(frames[0], prompts))
    for number, image in enumerate(frames[1:]):
        fail(3 if number else 2)  # At first only one frame is remembered.
        assert same(ours.step(image, encode=number != 1), theirs.step(image, encode=number != 1))
    fail(3)
    ours.long_side = theirs.long_side = 320
    assert same(ours.step(coffee), theirs.step(coffee))
    assert {"recall", "encode"} <= set(ours.timings)


def test_arrays_that_were_given_out_may_be_written_to(predictor: Predictor, coffee: np.ndarray) -> None:
    def follow(spoil: bool) -> list[list[Tracked]]:
        tracker = Tracker(predictor, long_side=256)
        found = [tracker.start(coffee, [Prompt(box=CUP)])]
        shown = [deepcopy(found[0])]
        for long_side, x in ((256, 0), (256, 8), (320, 12)):
            tracker.long_side = long_side
            for tracked in found[-1] if spoil else ():
                tracked.mask[:] = False
                assert tracked.box is not None
                tracked.box[:] = 0
            found.append(tracker.step(shifted(coffee, x, 0), encode=x != 8))
            shown.append(deepcopy(found[-1]))
        return shown

    for ours, theirs in zip(follow(True), follow(False), strict=True):
        assert same(ours, theirs)


def test_what_cannot_be_followed_is_refused(tracker: Tracker, coffee: np.ndarray) -> None:
    with pytest.raises(InputError, match="call start"):
        tracker.step(coffee)
    with pytest.raises(InputError, match="at least one prompt"):
        tracker.start(coffee, [])
    tracker.start(coffee, [Prompt(box=CUP)])
    with pytest.raises(InputError, match="shape"):
        tracker.step(coffee[..., 0])
