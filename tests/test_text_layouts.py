"""Every layout of a text model against its reference, on small random models: see `text_layouts.__main__`."""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from text_layouts.question import PHRASES, picture
from text_trial import all_tried_here

from edge_sam.errors import InputError, RuntimeFallbackWarning, RuntimeUnavailableError
from edge_sam.runtimes import openvino_device, why_unusable
from edge_sam.text import load_matcher
from edge_sam.text.clip import ClipPair
from edge_sam.text.grounding_dino import GroundingDino
from edge_sam.text.guard import check_probe, run_probe
from edge_sam.text.owl import OwlDetector
from edge_sam.text.tokens import open_tokenizer
from edge_sam.text.yolo_world import YoloWorld

__all__ = ["all_tried_here"]
MODELS = Path(__file__).parent / "text_layouts" / "models"
EQUAL = 1e-4
"""Largest difference between a graph and torch."""


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
        # The logits of tokens beyond the text are -inf in both.
        np.testing.assert_allclose(output, recorded[name], rtol=0, atol=EQUAL, err_msg=name)
    matcher = load_matcher(MODELS / "grounding-dino")
    assert isinstance(matcher, GroundingDino)
    assert matcher.facts.matcher == "hf-grounding-dino"
    found = matcher.find(picture(), PHRASES, 0.0)
    for word, span in enumerate((slice(1, 4), slice(5, 9))):
        mine = found.words == word
        np.testing.assert_allclose(found.scores[mine], recorded["scores"][:, span].mean(axis=1), atol=EQUAL)
        np.testing.assert_allclose(found.boxes[mine], recorded["boxes"], atol=0.02)


@pytest.mark.thorough
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
    masks = ours._separators.phrase_masks(recorded["input_ids"][0])
    np.testing.assert_array_equal(masks["text_token_mask"], recorded["text_token_mask"])
    np.testing.assert_array_equal(masks["position_ids"], recorded["position_ids"])


@pytest.mark.parametrize(
    ("name", "layout"),
    [("clip", "clip"), ("clip-whole", "clip-whole"), ("siglip", "clip"), ("siglip-whole", "clip-whole")],
)
def test_pairs_give_the_cosines_of_the_reference(name: str, layout: str) -> None:
    recorded = answers(name)
    compared = set()
    for path in (MODELS / name).glob("*.onnx"):
        outputs = graph_outputs(path, recorded)
        if name == "siglip":
            outputs = {f"{path.name.split('_')[0].replace('vision', 'image')}_embeds": outputs["pooler_output"]}
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
                compared.add(output)
    assert {"text_embeds", "image_embeds"} <= compared
    matcher = load_matcher(MODELS / name)
    assert isinstance(matcher, ClipPair)
    assert matcher.facts.matcher == layout
    pixels = recorded["pixel_values"][0]
    cosines = recorded["image_embeds"] @ recorded["text_embeds"].T
    scale = recorded["scale"].item() if layout == "clip-whole" else 100.0
    crop = recorded["picture"]
    np.testing.assert_allclose(matcher._pixels.tensor(crop), pixels, atol=1e-5)
    np.testing.assert_allclose(matcher.similarity([crop], PHRASES), cosines * scale, atol=scale * EQUAL)


def _yolo_world(path: Path, side: int = 64, cell: int = 8, size: int = 24) -> NDArray[np.float32]:
    """Write a graph with the inputs and outputs of YOLO-World. Returns its boxes: a cell of the picture each."""
    random = np.random.default_rng(0)
    y, x = (each.ravel() * cell for each in np.mgrid[: side // cell, : side // cell])
    boxes = np.stack([x, y, x + cell, y + cell], axis=1).astype(np.float32)
    constants: dict[str, NDArray[Any]] = {
        "colours": random.standard_normal((3, size)).astype(np.float32),
        "rows": np.array([1, 3, -1], np.int64),
        "fixed": boxes[None],
    }
    nodes = [
        helper.make_node("AveragePool", ["images"], ["cells"], kernel_shape=[cell, cell], strides=[cell, cell]),
        helper.make_node("Reshape", ["cells", "rows"], ["flat"]),
        helper.make_node("Transpose", ["flat"], ["tokens"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["tokens", "colours"], ["seen"]),
        helper.make_node("Transpose", ["text_features"], ["words"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["seen", "words"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["scores"]),
        helper.make_node("Identity", ["fixed"], ["boxes"]),
    ]
    values = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "yolo-world",
        [
            values("images", TensorProto.FLOAT, [1, 3, side, side]),
            values("text_features", TensorProto.FLOAT, [1, "count", size]),
        ],
        [values("scores", TensorProto.FLOAT, None), values("boxes", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return boxes


def test_yolo_world_sees_the_photograph_in_the_middle_of_a_square(tmp_path: Path) -> None:
    folder = tmp_path / "yolo"
    shutil.copytree(MODELS / "clip", folder)
    (folder / "vision_model.onnx").unlink()
    boxes = _yolo_world(folder / "yolo.onnx")
    matcher = load_matcher(folder)
    assert isinstance(matcher, YoloWorld)
    found = matcher.find(picture(), PHRASES, 0.0)
    assert sorted(set(found.words.tolist())) == [0, 1]  # Not the blank that takes what is neither.
    scale, top = 64 / 90, (64 - int(60 * 64 / 90)) // 2
    np.testing.assert_allclose(found.boxes[found.words == 0], (boxes - (0, top, 0, top)) / scale, atol=1e-4)
    with pytest.raises(InputError, match=r"yolo.onnx is YOLO-World; give CLIP's text model with it"):
        load_matcher(folder / "yolo.onnx")
    _yolo_world(folder / "yolo.onnx", size=32)
    with pytest.raises(InputError, match=r"gives text embeddings of 24 numbers, but yolo.onnx takes 32"):
        load_matcher(folder)


def test_clips_own_vocabulary_is_read(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "bpe_simple_vocab_16e6.txt.gz", "wt") as file:
        file.write("header\nr e\nre d</w>\n")
    tokenizer = open_tokenizer([tmp_path]).tokenizer
    letters = {letter: number for number, letter in enumerate("!\"#$%&'()*+,-./0123456789:;<=>?@", start=0)}
    red, start, end = 512 + 1, 514, 515
    assert tokenizer.encode(" RED  red!").ids == [start, red, red, 256 + letters["!"], end]


def test_rows_are_filled_with_0_or_with_what_a_file_names(tmp_path: Path) -> None:
    """MobileCLIP2's words see the filling too, so another one would give other embeddings."""
    folder = Path(shutil.copytree(MODELS / "clip", tmp_path / "clip"))
    table = np.random.default_rng(0).standard_normal((16, 24)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "input_ids"], ["tokens"]),
            helper.make_node("ReduceMean", ["tokens"], ["text_embeds"], axes=[1], keepdims=0),
        ],
        "every word sees every word",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["count", 12])],
        [helper.make_tensor_value_info("text_embeds", TensorProto.FLOAT, ["count", 24])],
        [numpy_helper.from_array(table, "table")],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), folder / "text_model.onnx")
    (folder / "special_tokens_map.json").unlink()
    tokens = open_tokenizer([folder]).tokenizer
    row = tokens.encode(PHRASES[0]).ids
    for named in (None, 5):
        if named is not None:
            tokens.enable_padding(pad_id=named)
            tokens.save(str(folder / "tokenizer.json"))
        matcher = load_matcher(folder)
        assert isinstance(matcher, ClipPair)
        expected = table[[*row, *[named or 0] * (12 - len(row))]].mean(axis=0)
        np.testing.assert_allclose(matcher._embed(PHRASES[:1])[0], expected / np.linalg.norm(expected), atol=1e-5)


@pytest.mark.parametrize(("precision", "pixels"), [("fp32", 2), ("fp16", 4), ("int8", 12)])
def test_the_guard_sees_boxes_in_the_wrong_place(
    monkeypatch: pytest.MonkeyPatch, precision: str, pixels: float
) -> None:
    matcher = load_matcher(MODELS / "owlv2")
    assert isinstance(matcher, OwlDetector)
    right, find = run_probe(matcher), matcher.find
    monkeypatch.setattr(matcher, "find", lambda *asked: replace(found := find(*asked), boxes=found.boxes + pixels))
    with pytest.raises(RuntimeUnavailableError, match="its boxes differ by"):
        check_probe(run_probe(matcher), right, precision)


def test_another_runtime_is_compared_with_the_reference(own_cache: Path) -> None:
    if (reason := why_unusable("openvino")) is not None:
        pytest.skip(reason)
    ours, theirs = (load_matcher(MODELS / "owlv2", runtime=name, strict=True) for name in ("openvino", "onnxruntime"))
    assert isinstance(ours, OwlDetector)
    assert isinstance(theirs, OwlDetector)
    assert ours.facts.matcher_provider != theirs.facts.matcher_provider
    one, other = (matcher.find(picture(), PHRASES, 0.0) for matcher in (ours, theirs))
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-3)
    verdicts = [json.loads(path.read_text()) for path in (own_cache / "guard").glob("*.json")]
    assert {verdict["runtime"]: verdict["rejected"] for verdict in verdicts} == {"openvino": None, "onnxruntime": None}


@pytest.mark.usefixtures("own_cache")
def test_a_runtime_that_computes_something_else_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    if (reason := why_unusable("openvino")) is not None:
        pytest.skip(reason)
    run = openvino_device.OpenVinoSession.run

    def wrong(session: Any, inputs: Any) -> Any:
        return {name: array * np.float32(1.5) for name, array in run(session, inputs).items()}

    monkeypatch.setattr(openvino_device.OpenVinoSession, "run", wrong)
    with pytest.warns(RuntimeFallbackWarning, match="using onnxruntime for the matcher.*differ by"):
        matcher = load_matcher(MODELS / "owlv2", runtime="openvino")
    assert matcher.facts.matcher_provider == "CPUExecutionProvider"
    with pytest.raises(RuntimeUnavailableError, match="differ by"):
        load_matcher(MODELS / "owlv2", runtime="openvino", strict=True)
