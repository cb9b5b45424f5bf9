"""Every layout of a text model against its reference, on small random models: see `text_layouts.__main__`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from edge_sam.text import load_matcher
from edge_sam.text.clip import ClipPair
from edge_sam.text.grounding_dino import GroundingDino
from edge_sam.text.owl import OwlDetector

MODELS = Path(__file__).parent / "text_layouts" / "models"
PHRASES = ["a red circle", "the large blue square"]
EQUAL = 1e-4
"""Largest difference between a graph and torch."""


def picture() -> NDArray[np.uint8]:
    """The picture of the recording, (60, 90, 3)."""
    y, x = np.mgrid[:60, :90] / 20.0
    waves = np.stack([np.sin(x + y), np.cos(x - 0.5 * y), np.sin(0.7 * x * y / 3)], axis=-1)
    return np.rint(127.5 + 100 * waves).astype(np.uint8)


def answers(name: str) -> dict[str, NDArray[Any]]:
    with np.load(MODELS / name / "answers.npz") as arrays:
        return dict(arrays)


def graph_outputs(path: Path, recorded: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    session = onnxruntime.InferenceSession(str(path))
    names = [output.name for output in session.get_outputs()]
    given = {each.name: recorded[each.name] for each in session.get_inputs()}
    return dict(zip(names, session.run(names, given), strict=True))


def test_owlv2_sees_the_padded_square(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = answers("owlv2")
    for name, output in graph_outputs(MODELS / "owlv2" / "model.onnx", recorded).items():
        if name in recorded:
            assert np.abs(output - recorded[name]).max() < EQUAL, name
    matcher = load_matcher(MODELS / "owlv2")
    assert isinstance(matcher, OwlDetector)
    pixels, frame = matcher._picture(picture())
    np.testing.assert_allclose(pixels, recorded["pixel_values"], atol=0.06)  # Pillow resizes, the reference scipy.
    monkeypatch.setattr(matcher, "_picture", lambda _: (recorded["pixel_values"], frame))
    found = matcher.find(picture(), PHRASES, 0.0)
    count = len(recorded["boxes"])
    assert len(found.boxes) == 2 * count
    for word in range(2):
        mine = found.words == word
        np.testing.assert_allclose(found.scores[mine], recorded["scores"][:, word], atol=EQUAL)
        np.testing.assert_allclose(found.boxes[mine], recorded["boxes"], atol=0.05)


def test_grounding_dino_scores_the_tokens_of_each_phrase() -> None:
    recorded = answers("grounding-dino")
    for name, output in graph_outputs(MODELS / "grounding-dino" / "model.onnx", recorded).items():
        assert np.abs(np.nan_to_num(output - recorded[name])).max() < EQUAL, name
    matcher = load_matcher(MODELS / "grounding-dino")
    assert isinstance(matcher, GroundingDino)
    assert matcher.facts.matcher == "hf-grounding-dino"
    found = matcher.find(picture(), PHRASES, 0.0)
    for word, span in enumerate((slice(1, 4), slice(5, 9))):
        mine = found.words == word
        np.testing.assert_allclose(found.scores[mine], recorded["scores"][:, span].mean(axis=1), atol=EQUAL)
        np.testing.assert_allclose(found.boxes[mine], recorded["boxes"], atol=0.02)


def test_ideas_grounding_dino_gets_masks_and_positions_of_the_phrases() -> None:
    recorded = answers("grounding-dino")
    ours = load_matcher(MODELS / "idea")
    theirs = load_matcher(MODELS / "grounding-dino")
    assert isinstance(ours, GroundingDino)
    assert isinstance(theirs, GroundingDino)
    assert ours.facts.matcher == "grounding-dino"
    one, other = (matcher.find(picture(), PHRASES, 0.0) for matcher in (ours, theirs))
    np.testing.assert_allclose(one.scores, other.scores, atol=EQUAL)
    np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-2)
    masks = ours._special.phrase_masks(recorded["input_ids"][0])
    np.testing.assert_array_equal(masks["text_token_mask"], recorded["text_token_mask"])
    np.testing.assert_array_equal(masks["position_ids"], recorded["position_ids"])


@pytest.mark.parametrize(("name", "layout"), [("clip", "clip"), ("clip-whole", "clip-whole"), ("siglip", "clip")])
def test_pairs_give_the_cosines_of_the_reference(name: str, layout: str) -> None:
    recorded = answers(name)
    for path in (MODELS / name).glob("*.onnx"):
        outputs = graph_outputs(path, recorded)
        for output, kept in (
            ("text_embeds", "text_embeds"),
            ("image_embeds", "image_embeds"),
            ("logits_per_image", "logits"),
        ):
            if output in outputs and kept in recorded:
                theirs = recorded[kept]
                ours = outputs[output]
                if output.endswith("embeds"):
                    ours = ours / np.linalg.norm(ours, axis=-1, keepdims=True)
                assert np.abs(ours - theirs).max() < EQUAL * max(1.0, float(np.abs(theirs).max())), output
    matcher = load_matcher(MODELS / name)
    assert isinstance(matcher, ClipPair)
    assert matcher.facts.matcher == layout
    pixels = recorded["pixel_values"][0]
    cosines = recorded["image_embeds"] @ recorded["text_embeds"].T
    scale = float(recorded["scale"]) if name == "clip-whole" else 100.0
    crop = recorded["picture"]
    np.testing.assert_allclose(matcher._pixels.tensor(crop), pixels, atol=1e-5)
    np.testing.assert_allclose(matcher.similarity([crop], PHRASES), cosines * scale, atol=scale * EQUAL)
