"""Text to masks from end to end, on models that are trained here: see `text_models` and `text_scenes`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import iou, made_once
from text_models import export_detector, export_pair, train_detector, train_pair
from text_scenes import PHRASES, PLAIN, Scene, draw_scene

from edge_sam.everything import MaskGenerator
from edge_sam.predictor import Predictor
from edge_sam.text import TextSegmenter, load_matcher

FOUND, ABSENT = 0.90, 0.85
"""Least share of phrases that find their object (mask IoU of 0.8), and of absent ones that find nothing."""
LEAST = 0.8
THRESHOLD = 0.4
"""Of the small detector, whose scores differ from those of OWLv2."""


@pytest.fixture(scope="session")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector in OWLv2's layout."""
    return made_once(tmp_path_factory, "detector", lambda folder: export_detector(train_detector(), folder))


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image-text pair in CLIP's layout."""
    return made_once(tmp_path_factory, "pair", lambda folder: export_pair(train_pair(), folder))


@dataclass
class Score:
    """Share of phrases that found their object, and of absent ones that found nothing."""

    found: float
    absent: float
    phrases: int


def scenes(count: int) -> Iterator[tuple[Scene, np.random.Generator]]:
    """Scenes that no model was trained on."""
    random = np.random.default_rng(100)
    for _ in range(count):
        yield draw_scene(random), random


def score(segmenter: TextSegmenter, phrases: list[str], count: int) -> Score:
    """Ask for two objects that each scene has, and for two that it has not, one of them nearly."""
    found, absent = [], []
    for scene, random in scenes(count):
        present = [phrase for phrase in phrases if len(scene.meant(phrase)) == 1]
        missing = [phrase for phrase in phrases if not scene.meant(phrase)]
        near = [p for p in missing if any(len(set(p.split()) & set(each.kind)) > 0 for each in scene.objects)]
        asked = [*random.permutation(present)[:2], *random.permutation(missing)[:1], *random.permutation(near)[:1]]
        result = segmenter.segment(scene.image, [str(phrase) for phrase in asked], long_side=512)
        for phrase in dict.fromkeys(map(str, asked)):
            masks = [mask for mask, word in zip(result.masks, result.words, strict=True) if word == phrase]
            if meant := scene.meant(phrase):
                found.append(bool(masks) and iou(masks[0], meant[0].mask) >= LEAST)
            else:
                absent.append(not masks)
    return Score(float(np.mean(found)), float(np.mean(absent)), len(found) + len(absent))


def test_words_find_objects_with_a_detector(predictor: Predictor, detector: Path) -> None:
    result = score(TextSegmenter(predictor, load_matcher(detector), threshold=THRESHOLD), PHRASES, 20)
    assert result.found >= FOUND, result
    assert result.absent >= ABSENT, result


def test_words_find_objects_with_an_image_text_pair(predictor: Predictor, pair: Path) -> None:
    generator = MaskGenerator(predictor, points_per_side=10, long_side=512, output_mode="coco_rle")
    segmenter = TextSegmenter(predictor, load_matcher(pair), generator=generator)
    result = score(segmenter, PLAIN, 12)
    assert result.found >= FOUND, result
    assert result.absent >= ABSENT, result
