"""Words in everything mode, in data sets and in streams, with the detector of `test_text_proof`."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from command_line import invoke, run_here
from conftest import iou
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco
from test_text_proof import LEAST, THRESHOLD, detector
from text_scenes import PLAIN, draw_scene

from edge_sam import Stream, TextSegmenter, load_matcher
from edge_sam.camera.word_prompts import WordPrompts
from edge_sam.imaging.masks import decode_rle
from edge_sam.predictor import Predictor

__all__ = ["detector"]
pytestmark = pytest.mark.thorough
PHRASE = "a large blue circle"
BLUE = (45, 75, 200)


def words(matcher: Path, *phrases: str) -> list[object]:
    """The options of the command line."""
    given = [part for phrase in phrases for part in ("--text", phrase)]
    return [*given, "--matcher", matcher, "--threshold", THRESHOLD, "--top", 1]


def frame(place: tuple[int, int] | None) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A wall with a blue disc, or without, and the mask of the disc."""
    random = np.random.default_rng(5)
    coarse = random.integers(95, 165, (12, 16, 3)).astype(np.uint8)
    picture = np.asarray(cv2.resize(coarse, (320, 240), interpolation=cv2.INTER_CUBIC), np.uint8).copy()
    mask = np.zeros((240, 320), np.uint8)
    if place is not None:
        cv2.circle(mask, place, 40, 1, cv2.FILLED)
        picture[mask > 0] = BLUE
    return picture, mask.astype(np.bool_)


def test_everything_mode_labels_its_masks(tmp_path: Path, detector: Path) -> None:
    scene = draw_scene(np.random.default_rng(103))
    Image.fromarray(scene.image).save(tmp_path / "scene.png")
    meant = scene.objects[0]
    phrase = f"a {' '.join(meant.kind)}"
    settings = ("--points-per-side", 8, "--long-side", 512)
    done = run_here("everything", "scene.png", *words(detector, phrase), *settings, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    masks = json.loads(done.stdout)["masks"]
    labelled = [decode_rle(mask["segmentation"]) for mask in masks if mask["text"] == phrase]
    assert max(iou(mask, meant.mask) for mask in labelled) >= LEAST
    others = [mask for mask in masks if mask["text"] is None]
    assert others
    assert all(mask["text_score"] is None for mask in others)


def test_a_data_set_has_the_words_as_categories(tmp_path: Path, detector: Path) -> None:
    (tmp_path / "photos").mkdir()
    scenes = [draw_scene(np.random.default_rng(seed)) for seed in (104, 105)]
    for number, scene in enumerate(scenes):
        Image.fromarray(scene.image).save(tmp_path / "photos" / f"{number}.png")
    options = ("--output", "out.json", "--workers", 1, "--long-side", 512, "--json")
    done = run_here("annotate", "photos", *words(detector, *PLAIN), *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    data = json.loads((tmp_path / "out.json").read_text())
    names = {category["id"]: category["name"] for category in data["categories"]}
    assert list(names.values()) == PLAIN
    images = {image["id"]: int(image["file_name"].removesuffix(".png")) for image in data["images"]}
    right = []
    for annotation in data["annotations"]:
        scene = scenes[images[annotation["image_id"]]]
        mask = coco.decode(annotation["segmentation"]).astype(bool)
        right.append(max((iou(mask, each.mask) for each in scene.meant(names[annotation["category_id"]])), default=0.0))
    assert np.mean(np.array(right) >= LEAST) >= 0.7
    assert sum(score >= LEAST for score in right) >= 3
    again = run_here("annotate", "photos", *words(detector, *PLAIN[:2]), *options, cwd=tmp_path)
    assert again.returncode == 2  # Other words: another data set.


def test_words_start_a_stream_and_find_the_object_again(predictor: Predictor, detector: Path, tmp_path: Path) -> None:
    places = [None, (95, 95), (100, 100), None, None, None, (230, 150), (230, 150), (230, 150)]
    for number, place in enumerate(places):
        Image.fromarray(frame(place)[0]).save(tmp_path / f"{number}.png")
    segmenter = TextSegmenter(predictor, load_matcher(detector), threshold=THRESHOLD, top=1)
    prompts = WordPrompts(segmenter, PHRASE, every=0)
    with Stream(tmp_path, predictor, prompts, every_frame=True, sinks=[prompts]) as stream:
        frames = list(stream)
    assert [bool(each.objects) for each in frames[:2]] == [False, True]
    for index in (1, 2, 8):
        (tracked,) = frames[index].objects
        assert iou(tracked.mask, frame(places[index])[1]) >= LEAST, index
        assert prompts.words_of(frames[index]) == [PHRASE]
    assert frames[4].objects[0].state == "lost"
    assert prompts.words_of(frames[0]) == []


def test_the_camera_takes_words(detector: Path, tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    for number in range(2):
        Image.fromarray(frame((95, 95))[0]).save(tmp_path / "frames" / f"{number}.png")
    done = run_here("camera", "frames", *words(detector, PHRASE), "--every-frame", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "held 2" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("segment", "x.png", "--box", "0,0,9,9"), "--text takes no --point"),
        (("everything", "x.png", "--stream"), "leave out --stream"),
        (("annotate", "x", "--output", "y.json", "--prompts", "grid"), "leave out --prompts"),
        (("camera", "x", "--stdin"), "--text takes no --point"),
    ],
)
def test_what_words_do_not_go_with(arguments: tuple[str, ...], reason: str) -> None:
    done = invoke(*arguments, "--text", "a cup", "--matcher", "folder")
    assert done.exit_code == 2
    assert reason in done.stderr
