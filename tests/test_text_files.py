"""Matchers with side files of other makers than Hugging Face, and with pictures that are not padded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import PHOTOGRAPHS
from numpy.typing import NDArray
from PIL import Image
from test_text_layouts import EQUAL, MODELS, answers
from text_layouts.question import PHRASES, picture
from text_trial import all_tried_here

from edge_sam import MaskGenerator
from edge_sam.annotate.limits import Limits
from edge_sam.annotate.records import Task
from edge_sam.annotate.sources import Item
from edge_sam.annotate.text_job import TextJob
from edge_sam.annotate.worker import Annotator, Job
from edge_sam.imaging.view import View
from edge_sam.inference.run_options import RunOptions
from edge_sam.predictor import Predictor
from edge_sam.text import TextSegmenter, load_matcher
from edge_sam.text.clip import ClipPair
from edge_sam.text.crops import crop_object
from edge_sam.text.grounding_dino import GroundingDino
from edge_sam.text.matcher import MatcherFacts
from edge_sam.text.owl import OwlDetector
from edge_sam.text.settings import TextSettings
from edge_sam.text.tokens import open_tokenizer

__all__ = ["all_tried_here"]


@pytest.mark.parametrize("name", ["open-clip", "bert"])
def test_vocabularies_without_a_tokenizer_file_give_the_references_ids(name: str) -> None:
    recorded = json.loads((MODELS / name / "ids.json").read_text(encoding="utf-8"))
    tokenizer = open_tokenizer([MODELS / name]).tokenizer
    assert {text: tokenizer.encode(text).ids for text in recorded} == recorded


def test_open_clips_visual_and_textual_files() -> None:
    recorded = answers("open-clip")
    matcher = load_matcher(MODELS / "open-clip")
    assert isinstance(matcher, ClipPair)
    assert matcher.facts.matcher == "clip"
    ids, _ = matcher._embed.tokens(PHRASES)
    np.testing.assert_array_equal(ids, recorded["input_ids"])
    assert matcher.resample == Image.Resampling.BILINEAR
    resized = matcher._pixels.resized(recorded["picture"], (matcher.side, matcher.side))
    np.testing.assert_allclose(matcher._pixels.tensor(resized), recorded["pixel_values"][0], atol=1e-5)
    texts, images = (
        recorded[name] / np.linalg.norm(recorded[name], axis=-1, keepdims=True)
        for name in ("text_embeds", "image_embeds")
    )
    np.testing.assert_allclose(matcher._embed(PHRASES), texts, atol=EQUAL)
    np.testing.assert_allclose(matcher.similarity([resized], PHRASES), 100 * images @ texts.T, atol=100 * EQUAL)


def test_owlvit_sees_the_photograph_stretched() -> None:
    recorded = answers("owlvit")
    matcher = load_matcher(MODELS / "owlvit")
    assert isinstance(matcher, OwlDetector)
    np.testing.assert_allclose(matcher._picture(picture())[0], recorded["pixel_values"], atol=1e-5)
    found = matcher.find(picture(), PHRASES, 0.0)
    for word in range(2):
        mine = found.words == word
        np.testing.assert_allclose(found.scores[mine], recorded["scores"][:, word], atol=EQUAL)
        np.testing.assert_allclose(found.boxes[mine], recorded["boxes"], atol=0.02)


def test_berts_vocabulary_serves_grounding_dino(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(MODELS / "grounding-dino", tmp_path / "dino"))
    (folder / "tokenizer.json").unlink()
    shutil.copy(MODELS / "bert" / "vocab.txt", folder)
    matcher, recorded = load_matcher(folder), answers("grounding-dino")
    assert isinstance(matcher, GroundingDino)
    found = matcher.find(picture(), PHRASES, 0.0)
    for word, span in enumerate((slice(1, 4), slice(5, 9))):
        expected = recorded["scores"][:, span].mean(axis=1)
        np.testing.assert_allclose(found.scores[found.words == word], expected, atol=EQUAL)


class Sharp:
    """An image-text pair of a user's own that keeps what it is shown."""

    threshold, side, resample = 0.5, 32, Image.Resampling.NEAREST
    facts = MatcherFacts("own", {}, "fp32", "none")

    def __init__(self) -> None:
        self.seen: list[NDArray[np.uint8]] = []

    def similarity(self, pictures: Iterable[NDArray[np.uint8]], phrases: Sequence[str]) -> NDArray[np.float32]:
        self.seen += pictures
        return np.zeros((len(self.seen), len(phrases)), np.float32)


def test_objects_are_resized_as_the_pair_wants(predictor: Predictor) -> None:
    matcher, mask = Sharp(), np.zeros((60, 90), np.bool_)
    mask[10:50, 20:80] = True
    TextSegmenter(predictor, matcher).label(picture(), [mask], "a wave")
    np.testing.assert_array_equal(matcher.seen[0], crop_object(picture(), mask, 32, Image.Resampling.NEAREST))
    assert (matcher.seen[0] != crop_object(picture(), mask, 32)).any()


def test_a_data_set_gets_the_masks_that_a_pair_compared() -> None:
    text = TextJob(("a red circle",), (str(MODELS / "clip"),), "auto", TextSettings(threshold=0.0))
    run = RunOptions(runtime="onnxruntime", precision="w16")
    annotator = Annotator(Job("mobile-sam", run, View(long_side=256), Limits(), text=text))
    segmenter = annotator._segmenter
    assert segmenter is not None
    segmenter._generator = MaskGenerator(
        segmenter.predictor, points_per_side=4, long_side=256, square=False, output_mode="coco_rle"
    )
    path = PHOTOGRAPHS / "coffee.png"
    record = annotator.annotate(Task("key", Item(path.name, str(path))))
    found = segmenter.find(path, text.text)
    assert record.masks
    assert record.prompts == len(found)
    assert [mask.segmentation for mask in record.masks] == [
        each.record["segmentation"] for each in found if each.record is not None
    ]
    assert {mask.category for mask in record.masks} == {"a red circle"}
