"""The decoder in two parts: the same masks, only those that are wanted, and decoders in one part."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import edge_sam
from edge_sam import ImageEmbedding, InputError, Predictor, Prompt
from edge_sam.bundles.bundle import BUNDLED, file_sha256
from edge_sam.bundles.manifest import parse_manifest
from edge_sam.errors import RuntimeUnavailableError
from edge_sam.inference.decoder_parts import TwoPartDecoder
from edge_sam.runtimes import Session, Tensors, why_unusable

LEAST = 0.88
PROMPTS = [Prompt(points=[point]) for point in ((250, 120), (520, 60), (20, 20), (300, 390))]
PROMPTS.append(Prompt(box=(76, 18, 478, 390)))
RUNTIMES = [
    pytest.param(name, marks=pytest.mark.skipif(why_unusable(name) is not None, reason=f"needs {name}"))
    for name in ("onnxruntime", "openvino")
]


class Counting(Session):
    """A real session that counts its runs."""

    def __init__(self, session: Session) -> None:
        self.provider, self.input_names, self._session, self.runs = session.provider, session.input_names, session, 0

    def run(self, inputs: Mapping[str, Any]) -> Tensors:
        self.runs += 1
        return self._session.run(inputs)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_one_mask_is_the_same_as_among_four(runtime: str, coffee: np.ndarray) -> None:
    predictor = edge_sam.load(runtime=runtime, strict=True)
    active = predictor.model.active
    decoder = active.decoder
    assert isinstance(decoder, TwoPartDecoder)
    embedding = predictor.encode(coffee, long_side=512)
    listed = active.listed_tokens(embedding.geometry.token_size)
    inputs = {
        **embedding.image_tokens(active.no_mask, decoder, listed),
        "point_coords": np.array([[[250, 120], [0, 0]], [[30, 30], [90, 80]]], np.float32),
        "point_labels": np.array([[1, -1], [1, 0]]),
        "token_size": np.array(embedding.geometry.token_size),
    }
    whole, first = decoder.run(inputs), decoder.scores(inputs)
    assert whole.keys() == {"low_res_logits", "predicted_iou"}
    np.testing.assert_array_equal(first["predicted_iou"], whole["predicted_iou"])
    for masks in ([1], [0, 2], [3, 2, 1]):
        np.testing.assert_allclose(decoder.logits(first, 1, masks), whole["low_res_logits"][1, masks], atol=1e-4)


@pytest.mark.parametrize("square", [False, True])
def test_only_good_masks_are_made(predictor: Predictor, coffee: np.ndarray, square: bool) -> None:
    embedding = predictor.encode(coffee, long_side=512, square=square)
    rows, columns = (4 * tokens for tokens in embedding.geometry.token_size)
    decoder = predictor.model.active.decoder
    assert isinstance(decoder, TwoPartDecoder)
    upscaling = Counting(decoder.upscaling)
    counted = Predictor(predictor.model.replaced({"upscaling": upscaling}))
    answers = list(predictor.answers(embedding, PROMPTS))
    least = float(sorted(answer.scores[1:].max() for answer in answers)[1]) + 1e-3
    kept = 0
    for good, answer in zip(counted.good_masks(embedding, PROMPTS, least), answers, strict=True):
        masks = [i for i in (1, 2, 3) if answer.scores[i] > least]
        kept += bool(masks)
        np.testing.assert_allclose(good.scores, answer.scores[masks], atol=1e-5)
        np.testing.assert_allclose(good.logits, answer.logits[masks, :rows, :columns], atol=1e-3)
    assert 0 < upscaling.runs == kept < len(PROMPTS)


def test_a_decoder_in_one_part_gives_the_same(predictor: Predictor, embedding: ImageEmbedding) -> None:
    """As older bundles have it, and those of other families."""
    one = copy.copy(predictor.model)
    one.active = copy.copy(one.active)
    one.active.decoder = Counting(predictor.model.active.decoder)
    for theirs, ours in zip(
        Predictor(one).good_masks(embedding, PROMPTS, LEAST),
        predictor.good_masks(embedding, PROMPTS, LEAST),
        strict=True,
    ):
        np.testing.assert_allclose(theirs.logits, ours.logits, atol=1e-3)
        np.testing.assert_allclose(theirs.scores, ours.scores, atol=1e-5)


def test_an_upscaling_that_computes_something_else_is_found_out(tmp_path: Path) -> None:
    def damage(folder: Path, _manifest: dict[str, Any]) -> None:
        graph = onnx.load(folder / "upscaling.w16.onnx")
        weights = next(each for each in graph.graph.initializer if "second.1" in each.name)
        weights.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(weights), weights.name))
        onnx.save(graph, folder / "upscaling.w16.onnx")

    with pytest.raises(RuntimeUnavailableError, match="low_res_logits differs by"):
        edge_sam.load(_changed(tmp_path, damage), runtime="onnxruntime", strict=True)


def test_older_manifests_have_no_separate_upscaling() -> None:
    manifest = json.loads((BUNDLED / "mobile-sam" / "manifest.json").read_text())
    manifest["schema"] = 4
    with pytest.raises(InputError, match="damaged: version 4 has no separate upscaling"):
        parse_manifest(json.dumps(manifest).encode(), "old")


def _changed(folder: Path, change: Any) -> Path:
    """Copy the packaged bundle, change it, and correct its hashes."""
    changed = folder / "changed"
    shutil.copytree(BUNDLED / "mobile-sam", changed)
    manifest = json.loads((changed / "manifest.json").read_text())
    change(changed, manifest)
    for each in manifest["components"]:
        file = changed / each["file"]
        each.update(sha256=file_sha256(file), bytes=file.stat().st_size)
    (changed / "manifest.json").write_text(json.dumps(manifest))
    return changed
