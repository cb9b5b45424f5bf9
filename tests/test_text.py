"""Text prompts: what is refused, and how; packing; the command line. The proof is in `test_text_proof`."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from command_line import invoke, run_here
from conftest import PHOTOGRAPHS
from onnx import TensorProto, helper
from test_text_layouts import MODELS
from text_layouts.question import picture
from text_trial import all_tried_here

import edge_sam
from edge_sam.annotate.text_job import TextJob
from edge_sam.errors import InputError
from edge_sam.predictor import Predictor
from edge_sam.text import TextSegmenter, load_matcher
from edge_sam.text.graphs import choose_graphs
from edge_sam.text.known_layouts import LAYOUTS
from edge_sam.text.loading import find_matcher
from edge_sam.text.matcher import ImageText, TextBoxes
from edge_sam.text.packing import pack_matcher
from edge_sam.text.settings import TextSettings
from edge_sam.text.tokens import check_phrases

__all__ = ["all_tried_here"]
COFFEE = PHOTOGRAPHS / "coffee.png"


def copied(tmp_path: Path, name: str) -> Path:
    """A matcher of the recordings that may be damaged."""
    return Path(shutil.copytree(MODELS / name, tmp_path / name))


def test_a_model_without_a_matcher_says_what_is_needed(predictor: Predictor, embedding: Any) -> None:
    for prompt in ("a red mug", ["a red mug"]):
        with pytest.raises(InputError, match=r"reads no text.*docs/text.md"):
            predictor.predict(embedding, prompt)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"needs a matcher, not str: edge_sam.load_matcher"):
        TextSegmenter(predictor, "folder")  # type: ignore[arg-type]
    done = invoke("segment", str(COFFEE), "--text", "a mug")
    assert done.exit_code == 2
    assert "give --matcher FOLDER" in done.stderr
    done = invoke("segment", str(COFFEE), "--matcher", str(MODELS / "owlv2"))
    assert done.exit_code == 2
    assert "give --text" in done.stderr


@pytest.mark.parametrize(
    ("text", "reason"), [("", "is empty"), (["a", "  "], "is empty"), ([], "there is no text"), (7, "not int")]
)
def test_text_that_says_nothing(text: Any, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        check_phrases(text)


def test_phrases_are_asked_once() -> None:
    assert check_phrases([" a  red\nmug ", "a red mug", "a cup"]) == ["a red mug", "a cup"]


def test_long_text_is_cut_and_said(caplog: pytest.LogCaptureFixture) -> None:
    matcher = load_matcher(MODELS / "clip")
    assert isinstance(matcher, ImageText)
    blank = [np.zeros((matcher.side, matcher.side, 3), np.uint8)]
    with caplog.at_level(logging.WARNING, "edge_sam"):
        short, long = (matcher.similarity(blank, [" ".join(["red"] * count)]) for count in (10, 30))
        matcher.similarity(blank, [" ".join(["red"] * 30)])
    assert [record.message.rpartition(" has ")[2] for record in caplog.records] == [
        "32 tokens; the model reads the first 12"
    ]
    np.testing.assert_array_equal(short, long)


def test_long_text_is_cut_and_said_among_others(caplog: pytest.LogCaptureFixture) -> None:
    matcher = load_matcher(MODELS / "grounding-dino")
    assert isinstance(matcher, TextBoxes)
    with caplog.at_level(logging.WARNING, "edge_sam"):
        matcher.find(picture(), ["a red circle", " ".join(["red"] * 30)], 0.0)
    assert caplog.messages == [f"{' '.join(['red'] * 30)!r} has 30 tokens; the model reads the first 8"]


def _without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _other_tokenizer(folder: Path) -> None:
    shutil.copy(MODELS / "siglip" / "tokenizer.json", folder)


def _larger_vocabulary(folder: Path) -> None:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["vocab"] = {name: number + 400 for name, number in content["model"]["vocab"].items()}
    for token in content["added_tokens"]:
        token["id"] += 400
    for token in content["post_processor"]["special_tokens"].values():
        token["ids"] = [number + 400 for number in token["ids"]]
    path.write_text(json.dumps(content))


def _other_vision(folder: Path) -> None:
    shutil.copy(MODELS / "siglip" / "vision_model.onnx", folder)
    _rename_output(folder / "vision_model.onnx", "pooler_output", "image_embeds")


def _rename_output(path: Path, old: str, new: str) -> None:
    model = onnx.load(path)
    for node in model.graph.node:
        node.output[:] = [new if name == old else name for name in node.output]
    model.graph.output[0].name = new
    onnx.save(model, path)


def _pooled_vision(folder: Path) -> None:
    _rename_output(folder / "vision_model.onnx", "image_embeds", "pooler_output")


def _no_words(folder: Path) -> None:
    content = json.loads((folder / "tokenizer.json").read_text())
    content["pre_tokenizer"] = None  # Every phrase becomes the one unknown word.
    (folder / "tokenizer.json").write_text(json.dumps(content))


def _garbage(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(b"{")  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("name", "damage", "reason"),
    [
        ("owlv2", _without("tokenizer.json"), "there is no tokenizer beside the model"),
        ("owlv2", _without("preprocessor_config.json"), "normalisation of the pictures is unknown"),
        ("owlv2", _garbage("preprocessor_config.json"), "cannot read .*preprocessor_config.json"),
        ("owlv2", _garbage("tokenizer.json"), "is not a tokenizer"),
        ("owlv2", _garbage("model.onnx"), "is not an ONNX model"),
        ("owlv2", _larger_vocabulary, "may be that of another model"),
        ("owlv2", _no_words, "same for two different phrases"),
        ("clip", _other_tokenizer, r"no token <\|endoftext\|>"),
        ("clip", _other_vision, "gives embeddings of 32 numbers, text_model.onnx of 24"),
        ("clip", _pooled_vision, "vision_model.onnx gives only pooler_output"),
        ("clip", _without("vision_model.onnx"), "is one half of an image-text pair; give its vision model"),
        ("siglip", _without("config.json"), "gives only pooler_output"),
        ("grounding-dino", _without("preprocessor_config.json"), "normalisation of the pictures is unknown"),
        ("grounding-dino", _other_tokenizer, r"no token \[CLS\]|no token \[PAD\]"),
    ],
)
def test_files_that_do_not_fit_are_refused_by_name(
    tmp_path: Path, name: str, damage: Callable[[Path], None], reason: str
) -> None:
    folder = copied(tmp_path, name)
    damage(folder)
    with pytest.raises(InputError, match=reason) as refused:
        load_matcher(folder)
    assert "\n" not in str(refused.value)


def test_what_is_no_matcher_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"encoder.w16.onnx takes image.*docs/text.md"):
        load_matcher(edge_sam.load().bundle.path / "encoder.w16.onnx")
    with pytest.raises(InputError, match="holds no graph"):
        load_matcher(tmp_path)
    with pytest.raises(InputError, match="there is no such file"):
        load_matcher(tmp_path / "model.onnx")
    with pytest.raises(InputError, match="a matcher is a folder"):
        load_matcher([])
    with pytest.raises(InputError, match="unknown runtime"):
        load_matcher(MODELS / "clip", runtime="gpu")
    with pytest.raises(InputError, match="unknown precision 'int3'"):
        load_matcher(MODELS / "clip", precision="int3")


def test_a_precision_is_chosen_by_the_ends_of_the_names(tmp_path: Path) -> None:
    folder = tmp_path / "onnx"
    folder.mkdir()
    for name in ("text_model", "vision_model"):
        for end in ("", "_quantized", "_fp16"):
            shutil.copy(MODELS / "clip" / f"{name}.onnx", folder / f"{name}{end}.onnx")
    shutil.copy(MODELS / "clip-whole" / "model.onnx", folder)

    def chosen(precision: str) -> list[str]:
        return sorted(graph.path.name for graph in choose_graphs([tmp_path], precision))

    assert chosen("auto") == ["text_model.onnx", "vision_model.onnx"]
    assert chosen("int8") == ["text_model_quantized.onnx", "vision_model_quantized.onnx"]
    with pytest.raises(InputError, match="in fp16, fp32, int8, not in int4"):
        chosen("int4")


def test_two_files_may_be_given_one_by_one() -> None:
    matcher = load_matcher([MODELS / "clip" / "vision_model.onnx", MODELS / "clip" / "text_model.onnx"])
    assert isinstance(matcher, ImageText)
    assert set(matcher.facts.matcher_files) == {
        "text/text_model.onnx",
        "vision/vision_model.onnx",
    }


def test_two_files_may_have_one_name(tmp_path: Path) -> None:
    folder = copied(tmp_path, "clip")
    for part in ("text", "vision"):
        (folder / part).mkdir()
        (folder / f"{part}_model.onnx").rename(folder / part / "model.onnx")
    files = load_matcher(folder).facts.matcher_files
    assert set(files) == {"text/model.onnx", "vision/model.onnx"}
    assert len(set(files.values())) == 2


def test_a_graph_that_answers_always_the_same_is_refused(tmp_path: Path) -> None:
    folder = copied(tmp_path, "owlv2")
    nothing = helper.make_tensor("logits", TensorProto.FLOAT, [1, 4, 1], [0.0] * 4)
    boxes = helper.make_tensor("pred_boxes", TensorProto.FLOAT, [1, 4, 4], [0.5] * 16)
    graph = helper.make_graph(
        [helper.make_node("Constant", [], [each.name], value=each) for each in (nothing, boxes)],
        "constant",
        [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, 16]),
            helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, [1, 3, 96, 96]),
        ],
        [helper.make_tensor_value_info(each.name, TensorProto.FLOAT, list(each.dims)) for each in (nothing, boxes)],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx"
    )
    with pytest.raises(InputError, match="cannot be used: it answers the same for two different pictures"):
        load_matcher(folder)


def test_embeddings_of_phrases_are_kept() -> None:
    matcher: Any = load_matcher(MODELS / "clip")
    runs: list[int] = []
    run = matcher._embed._part.session.run

    def counted(inputs: Any) -> Any:
        runs.append(len(next(iter(inputs.values()))))
        return run(inputs)

    matcher._embed._part.session.run = counted
    blank = [np.zeros((matcher.side, matcher.side, 3), np.uint8)]
    for phrases in (["red", "blue"], ["blue", "red"], ["blue", "large"]):
        matcher.similarity(blank, phrases)
    assert runs == [2, 1]


def test_a_matcher_is_packed_with_hashes_and_licence(tmp_path: Path) -> None:
    source = copied(tmp_path, "owlv2")
    (source / "LICENSE").write_text("Terms.")
    arguments = ("import", "--matcher", source, "--output", "packed", "--license", "Apache-2.0", "--url", "https://x.y")
    done = run_here(*arguments, "--json", cwd=tmp_path)
    report = json.loads(done.stdout)
    assert report["layout"] == "owl"
    assert report["role"] == "finds boxes for words"
    manifest = json.loads((tmp_path / "packed" / "matcher.json").read_text())
    assert manifest["license"] == "Apache-2.0"
    assert manifest["layout"] in LAYOUTS
    assert {each["file"]: each["sha256"] for each in manifest["files"]} == report["files"]
    assert (tmp_path / "packed" / "LICENSE").read_text() == "Terms."
    one, other = load_matcher(tmp_path / "packed"), load_matcher(source)
    assert isinstance(one, TextBoxes)
    assert isinstance(other, TextBoxes)
    ours, theirs = (matcher.find(picture(), ["a red circle"], 0.0) for matcher in (one, other))
    np.testing.assert_array_equal(ours.boxes, theirs.boxes)
    again = run_here(*arguments, cwd=tmp_path)
    assert again.returncode == 2
    assert "--overwrite" in again.stderr
    assert run_here(*arguments, "--overwrite", cwd=tmp_path).returncode == 0
    with (tmp_path / "packed" / "tokenizer.json").open("a") as file:
        file.write(" ")
    with pytest.raises(InputError, match=r"tokenizer.json does not match its hash"):
        load_matcher(tmp_path / "packed")


def test_parts_of_two_precisions_are_packed_together(tmp_path: Path) -> None:
    folder = copied(tmp_path, "clip")
    (folder / "text_model.onnx").rename(folder / "text_model_quantized.onnx")
    pack_matcher([folder], tmp_path / "packed")
    found = find_matcher(tmp_path / "packed")
    assert {part: graph.precision for part, graph in found.parts.items()} == {"text": "int8", "vision": "fp32"}
    assert load_matcher(tmp_path / "packed").facts.matcher_precision == "int8"
    with pytest.raises(InputError, match="packed has text in int8, not in fp32"):
        find_matcher(tmp_path / "packed", "fp32")


def test_only_what_was_read_is_packed(tmp_path: Path) -> None:
    folder = copied(tmp_path, "clip")
    (folder / "vocab.txt").write_text("of another model")
    for name in ("LICENSE", "open_clip_config.json"):
        (tmp_path / name).write_text("of another model")
    pack_matcher([folder], tmp_path / "packed")
    assert {path.name for path in (tmp_path / "packed").iterdir()} == {
        *("matcher.json", "text.fp32.onnx", "vision.fp32.onnx"),
        *("config.json", "preprocessor_config.json", "special_tokens_map.json", "tokenizer.json"),
    }


def test_a_data_set_knows_the_files_beside_its_matcher(tmp_path: Path) -> None:
    folder = copied(tmp_path, "owlv2")
    job = TextJob(("a cup",), (str(folder),), "auto", TextSettings())
    before = job.facts()
    path = folder / "preprocessor_config.json"
    path.write_text(path.read_text().replace('"do_pad": true', '"do_pad": false'))
    assert job.facts() != before


def test_import_says_what_does_not_go_together(tmp_path: Path) -> None:
    done = run_here("import", "--output", "x", cwd=tmp_path)
    assert done.returncode == 2
    assert "give an encoder and its decoder, or a text model with --matcher" in done.stderr
    done = run_here("import", "e.onnx", "d.onnx", "--matcher", "m", "--output", "x", cwd=tmp_path)
    assert done.returncode == 2
    assert "--matcher takes no encoder" in done.stderr
