"""Text to masks from end to end, on models that are trained here: see `text_detector`, `text_pair` and
`text_scenes`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run_here
from conftest import iou, made_once
from PIL import Image
from text_detector import export_detector, train_detector
from text_pair import BEHIND, export_pair, train_pair
from text_scenes import PHRASES, PLAIN, Scene, draw_scene
from text_trial import all_tried_here, tried_here

from edge_sam import ImageEmbedding, MaskGenerator, TextSegmenter, load_matcher
from edge_sam.predictor import Predictor
from edge_sam.quantize.matcher import quantize_products
from edge_sam.text.packing import pack_matcher
from edge_sam.text.settings import BACKGROUND

__all__ = ["all_tried_here"]
pytestmark = pytest.mark.thorough
FOUND, ABSENT, LOSS = 0.90, 0.85, 0.02
"""Least share of phrases that find their object, and of absent ones that find nothing; what int8 may lose."""
LEAST = 0.8
"""IoU with the drawn mask from which an object is found."""
THRESHOLD = 0.4
"""Of the small detector, whose scores differ from those of OWLv2."""


@pytest.fixture(scope="session")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector in OWLv2's layout, packed in two precisions."""

    def make(folder: Path) -> None:
        (folder / "exported").mkdir()
        export_detector(train_detector(), folder / "exported")
        with tried_here():
            pack_matcher([folder / "exported"], folder / "packed", license="CC0-1.0", quantize=quantize_products)

    return made_once(tmp_path_factory, "detector", make) / "packed"


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image-text pair in CLIP's layout, packed in two precisions."""

    def make(folder: Path) -> None:
        (folder / "exported").mkdir()
        export_pair(train_pair(), folder / "exported")
        with tried_here():
            pack_matcher([folder / "exported"], folder / "packed", license="CC0-1.0", quantize=quantize_products)

    return made_once(tmp_path_factory, "pair", make) / "packed"


@dataclass(frozen=True)
class Questions:
    """A scene that no model was trained on, and what is asked about it."""

    scene: Scene
    embedding: ImageEmbedding | None
    phrases: list[str]


@dataclass(frozen=True, eq=False)
class Remembering(MaskGenerator):
    """A mask generator that looks at each scene once."""

    seen: dict[int, Any] = field(default_factory=dict, kw_only=True)

    def generate(self, image: Any, **options: Any) -> Any:
        if id(image) not in self.seen:
            self.seen[id(image)] = super().generate(image, **options)
        return self.seen[id(image)]


def questions(predictor: Predictor | None, phrases: list[str], count: int) -> Iterator[Questions]:
    """Ask for two objects that each scene has, and for two that it has not, one of them nearly."""
    random = np.random.default_rng(100)
    for _ in range(count):
        scene = draw_scene(random)
        present = [phrase for phrase in phrases if len(scene.meant(phrase)) == 1]
        absent = [phrase for phrase in phrases if not scene.meant(phrase)]
        near = [phrase for phrase in absent if any(set(phrase.split()) & set(each.kind) for each in scene.objects)]
        first = str(random.choice(present))
        others = [phrase for phrase in present if scene.meant(phrase)[0] is not scene.meant(first)[0]]
        second = random.choice(others) if others else first  # An object gets one text only.
        asked = [first, second, random.choice(absent), random.choice(near)]
        embedding = None if predictor is None else predictor.encode(scene.image, long_side=512)
        yield Questions(scene, embedding, list(dict.fromkeys(map(str, asked))))


def score(segmenter: TextSegmenter, asked: list[Questions]) -> tuple[float, float]:
    """Return the share of phrases that found their object, and of absent ones that found nothing."""
    found, absent = [], []
    for each in asked:
        result = segmenter.segment(each.scene.image, each.phrases, embedding=each.embedding)
        for phrase in each.phrases:
            masks = [mask for mask, word in zip(result.masks, result.words, strict=True) if word == phrase]
            if meant := each.scene.meant(phrase):
                found.append(bool(masks) and all(iou(mask, meant[0].mask) >= LEAST for mask in masks))
            else:
                absent.append(not masks)
    return float(np.mean(found)), float(np.mean(absent))


def check(segmenters: dict[str, TextSegmenter], asked: list[Questions]) -> None:
    """Check the shares that the proof asks for, and what int8 loses."""
    scores = {precision: score(segmenter, asked) for precision, segmenter in segmenters.items()}
    print(scores)
    assert scores["fp32"][0] >= FOUND, scores
    assert scores["fp32"][1] >= ABSENT, scores
    for exact, quantised in zip(scores["fp32"], scores["int8"], strict=True):
        assert quantised >= exact - LOSS, scores


def test_words_find_objects_with_a_detector(predictor: Predictor, detector: Path) -> None:
    asked = list(questions(predictor, PHRASES, 20))
    segmenters = {
        precision: TextSegmenter(predictor, load_matcher(detector, precision=precision), threshold=THRESHOLD)
        for precision in ("fp32", "int8")
    }
    check(segmenters, asked)


def test_words_find_objects_with_an_image_text_pair(predictor: Predictor, pair: Path) -> None:
    """With the threshold and the texts of the background that users get. The pair has learnt none of those texts."""
    assert not {phrase for phrases in BEHIND.values() for phrase in phrases} & set(BACKGROUND)
    asked = list(questions(None, PLAIN, 12))
    generator = Remembering(predictor, points_per_side=10, long_side=512, square=False, output_mode="coco_rle")
    segmenters = {
        precision: TextSegmenter(predictor, load_matcher(pair, precision=precision), generator=generator)
        for precision in ("fp32", "int8")
    }
    check(segmenters, asked)


def test_the_command_line_says_which_words(tmp_path: Path, detector: Path) -> None:
    scene = draw_scene(np.random.default_rng(101))
    Image.fromarray(scene.image).save(tmp_path / "scene.png")
    kind = scene.objects[0].kind
    present = f"a {' '.join(kind)}"
    absent = next(phrase for phrase in PLAIN if not scene.meant(phrase))
    words = ("--text", present, "--text", absent, "--matcher", detector, "--threshold", THRESHOLD, "--top", 1)
    done = run_here("segment", "scene.png", *words, "--long-side", 512, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [mask["text"] for mask in report["masks"]] == [present]
    assert report["absent"] == [absent]
    assert report["matcher"] == "owl"
    assert {"match", "encode", "decode"} <= report["timings_ms"].keys()
    assert np.array(Image.open(tmp_path / report["masks"][0]["file"])).shape == scene.image.shape[:2]
    plain = run_here("segment", "scene.png", *words, "--long-side", 512, cwd=tmp_path)
    assert f"nothing fits '{absent}'" in plain.stdout
    assert kind[1] in plain.stdout
