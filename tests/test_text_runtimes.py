"""Matchers that are new on this machine: tried in a child process, compiled files checked, choices measured."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from command_line import invoke
from onnx import TensorProto, helper
from test_text import copied
from test_text_layouts import MODELS
from text_layouts.question import PHRASES, picture
from text_trial import tried_here

from edge_sam.benchmark.tunable_matcher import TunableMatcher
from edge_sam.bundles.draft import entry
from edge_sam.errors import EdgeSamError, InputError
from edge_sam.inference.cache import Best, Tuned, write_record
from edge_sam.inference.choice import Choice
from edge_sam.quantize.matcher import quantize_products
from edge_sam.runtimes import why_unusable
from edge_sam.system.confined import Limits
from edge_sam.text import load_matcher
from edge_sam.text.checked import find_verdict, load_checked
from edge_sam.text.files import ChosenFiles, choose_files
from edge_sam.text.guard import BOUND
from edge_sam.text.matcher import Matcher, TextBoxes
from edge_sam.text.matcher_files import SideFiles
from edge_sam.text.packing import pack_matcher
from edge_sam.text.pixels import PixelFormat

pytestmark = pytest.mark.usefixtures("own_cache")


def memory_bomb(path: Path) -> None:
    """Write a graph in OWLv2's layout of a few hundred bytes that asks for 13 GB, when it is opened or when it runs."""
    size = helper.make_tensor("size", TensorProto.INT64, [3], [1, 3_400_000_000, 1])
    shape = helper.make_tensor("shape", TensorProto.INT64, [3], [1, 4, 4])
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
        helper.make_node("ReduceSum", ["pixel_values"], ["sum"], keepdims=0),
        helper.make_node("Add", ["zeros", "sum"], ["logits"]),
        helper.make_node("ConstantOfShape", ["shape"], ["pred_boxes"]),
    ]
    values = helper.make_tensor_value_info
    inputs = [
        values("input_ids", TensorProto.INT64, ["t", 16]),
        values("pixel_values", TensorProto.FLOAT, [1, 3, 96, 96]),
    ]
    outputs = [
        values("logits", TensorProto.FLOAT, ["a", "b", "c"]),
        values("pred_boxes", TensorProto.FLOAT, ["a", "b", "c"]),
    ]
    graph = helper.make_graph(nodes, "hostile", inputs, outputs, [size, shape])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def test_one_that_takes_all_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copied(tmp_path, "owlv2")
    memory_bomb(folder / "model.onnx")
    monkeypatch.setattr("edge_sam.system.confined.limits_for", lambda *_: Limits(60, 2 << 30))
    with pytest.raises(EdgeSamError, match=r"(?i)alloc|memory"):
        load_matcher(folder, runtime="onnxruntime", strict=True)


def test_a_good_one_is_tried_once_and_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copied(tmp_path, "owlv2")
    chosen, choice = choose_files(folder), Choice("onnxruntime", "fp32", None, "test")
    assert find_verdict(chosen, choice) is None
    load_matcher(folder, runtime="onnxruntime", strict=True)
    verdict = find_verdict(chosen, choice)
    assert verdict is not None
    assert verdict.differences == {"scores": 0, "boxes": 0}
    monkeypatch.setattr("edge_sam.system.confined.run_confined", None)
    load_matcher(folder, runtime="onnxruntime", strict=True)
    path = folder / "preprocessor_config.json"
    path.write_text(path.read_text().replace('"do_pad": true', '"do_pad": false'))
    assert find_verdict(choose_files(folder), choice) is None  # It sees other pictures.


@pytest.mark.thorough
def test_a_damaged_compiled_matcher_is_made_again(own_cache: Path) -> None:
    if (reason := why_unusable("openvino")) is not None:
        pytest.skip(reason)

    def scores() -> np.ndarray:
        matcher = load_matcher(MODELS / "owlv2", runtime="openvino", strict=True)
        assert isinstance(matcher, TextBoxes)
        return matcher.find(picture(), PHRASES, 0.0).scores

    with tried_here():
        expected = scores()
    (blob,) = own_cache.rglob("*.blob")
    content = blob.read_bytes()
    blob.chmod(0o600)
    blob.write_bytes(content[: len(content) // 2])
    planted = blob.with_name("planted.blob")
    planted.write_bytes(content)
    np.testing.assert_array_equal(scores(), expected)
    assert not planted.exists()
    verdict = find_verdict(choose_files(MODELS / "owlv2"), Choice("openvino", "fp32", None, "test"))
    assert verdict is not None
    assert set(verdict.compiled.values()) == {hashlib.sha256(blob.read_bytes()).hexdigest()}


def test_files_that_change_while_they_are_opened(tmp_path: Path) -> None:
    folder = copied(tmp_path, "owlv2")
    for name in ("model.onnx", "tokenizer.json", "special_tokens_map.json"):  # The last one was not there.
        chosen = choose_files(folder)
        with pytest.raises(InputError, match=rf"{name} was changed while it was loaded"), chosen.unchanged():
            (folder / name).write_bytes((folder / name).read_bytes() if (folder / name).exists() else b"{}")
        with pytest.raises(InputError, match=rf"{name} was changed while it was loaded"), chosen.unchanged():
            pytest.fail("what changed before is opened")


def test_files_that_change_while_the_layout_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, read = copied(tmp_path, "owlv2"), SideFiles.pixels

    def change_and_read(beside: SideFiles, usual: PixelFormat | None = None) -> PixelFormat:
        path = folder / "preprocessor_config.json"
        path.write_text(path.read_text().replace('"do_pad": true', '"do_pad": false'))
        return read(beside, usual)

    monkeypatch.setattr(SideFiles, "pixels", change_and_read)
    with tried_here(), pytest.raises(InputError, match=r"preprocessor_config.json was changed while it was loaded"):
        load_matcher(folder)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CLIP in two precisions."""
    with tried_here():
        folder = tmp_path_factory.mktemp("matcher") / "packed"
        return pack_matcher([MODELS / "clip"], folder, quantize=quantize_products).folder


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[Choice]:
    """The choices that are loaded from now on."""
    choices: list[Choice] = []

    def watched(files: ChosenFiles, choice: Choice) -> Matcher:
        choices.append(choice)
        return load_checked(files, choice)

    monkeypatch.setattr("edge_sam.text.loading.load_checked", watched)
    return choices


def test_tune_measures_a_matcher_and_auto_follows(packed: Path, loaded: list[Choice]) -> None:
    options = ("--runtime", "onnxruntime", "--threads", "1,2", "--rounds", "1")
    with tried_here():
        done = invoke("tune", "--matcher", str(packed), *options, "--json")
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["matcher"] == "packed"
    assert report["remembered"]
    rows = report["rows"]
    assert {(row["precision"], row["threads"]) for row in rows} == {(p, n) for p in ("fp32", "int8") for n in (1, 2)}
    assert [row["total_ms"] for row in rows] == sorted(row["match_ms"] for row in rows)
    for row in rows:
        assert (row["difference"] == 0) == (row["precision"] == "fp32")
    loaded.clear()
    matcher = load_matcher(packed)
    assert (loaded[0].precision, loaded[0].threads) == (rows[0]["precision"], rows[0]["threads"])
    assert matcher.facts.matcher_precision == rows[0]["precision"]


def test_auto_follows_only_what_fits(packed: Path, loaded: list[Choice]) -> None:
    chosen = choose_files(packed)
    assert write_record(chosen.tuning_key, Tuned(Best("onnxruntime", "int8", 2)))
    loads: dict[str, dict[str, Any]] = {
        "auto": {},
        "int8": {"precision": "int8"},
        "fp32": {"precision": "fp32"},
        "named": {"runtime": "onnxruntime"},
    }
    with tried_here():
        for options in loads.values():
            load_matcher(packed, **options)
    assert [(each.precision, each.threads) for each in loaded] == [
        ("int8", 2),
        ("int8", 2),
        ("fp32", None),
        ("fp32", None),
    ]
    write_record(chosen.tuning_key, Tuned(Best("a runtime of another version", "int8", None)))
    with tried_here():
        assert load_matcher(packed).facts.matcher_precision == "fp32"


def test_what_answers_otherwise_is_dropped(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BOUND, "int8", 0.0)
    with tried_here():
        done = invoke("tune", "--matcher", str(packed), "--runtime", "onnxruntime", "--rounds", "1", "--json")
    *_, dropped = json.loads(done.stdout)["rows"]
    assert dropped["precision"] == "int8"
    assert "its scores differ by" in dropped["rejected"]
    assert dropped["match_ms"] is None


def test_a_precision_that_answers_nothing_is_dropped(packed: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(packed, tmp_path / "packed"))
    manifest = msgspec.json.decode((folder / "matcher.json").read_bytes())
    for each in manifest["files"]:
        if each.get("precision") == "int8":
            each.update(entry(always_zero(folder / each["file"])))
    (folder / "matcher.json").write_bytes(msgspec.json.encode(manifest))
    with tried_here():
        done = invoke("tune", "--matcher", str(folder), "--runtime", "onnxruntime", "--rounds", "1", "--json")
    assert done.exit_code == 0, done.stderr
    best, dropped = json.loads(done.stdout)["rows"]
    assert (best["precision"], best["rejected"]) == ("fp32", None)
    assert dropped["precision"] == "int8"
    assert "cannot be used: it answers the same" in dropped["rejected"]
    with tried_here(), pytest.raises(InputError, match=r"it answers the same"):
        load_matcher(folder, precision="int8")


def always_zero(path: Path) -> Path:
    """Let a graph answer zero to everything."""
    model = onnx.load(path)
    outputs = {each.name for each in model.graph.output}
    for node in [*model.graph.node]:
        for i, name in enumerate(node.output):
            if name in outputs:
                node.output[i] = f"{name}.before"
                model.graph.node.append(helper.make_node("Sub", [node.output[i]] * 2, [name]))
    onnx.save(model, path)
    return path


def test_a_file_that_nobody_named_is_refused(packed: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(packed, tmp_path / "packed"))
    (folder / "preprocess_cfg.json").write_text("{}")
    with pytest.raises(InputError, match=r"matcher.json does not name preprocess_cfg.json; remove it"):
        choose_files(folder)


def test_tune_takes_photographs_of_a_few_pixels(packed: Path) -> None:
    tunable = TunableMatcher(choose_files(packed))
    with tried_here():
        matcher = tunable.load(Choice("onnxruntime", "fp32", None, "test"))
    for shape in ((200, 3), (1, 200)):
        ((stage, milliseconds),) = tunable.time(matcher, np.zeros((*shape, 3), np.uint8))
        assert (stage, milliseconds > 0) == ("match", True)


def test_a_precision_that_nobody_knows_is_no_precision(packed: Path, tmp_path: Path) -> None:
    changed = (packed / "matcher.json").read_text().replace('"int8"', '"int7"')
    (tmp_path / "matcher.json").write_text(changed)
    with pytest.raises(InputError, match=r"matcher.json is damaged"):
        choose_files(tmp_path, "smallest")


def test_tune_takes_a_model_or_a_matcher() -> None:
    done = invoke("tune", "mobile-sam", "--matcher", str(MODELS / "clip"))
    assert done.exit_code == 2
    assert "a model or a matcher" in done.stderr
