"""Export: remaking the bundle in the package, and refusing what cannot be exported."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from conftest import iou

import edge_sam
from edge_sam import Prompt
from edge_sam.bundles.bundle import Bundle, open_bundle
from edge_sam.errors import ExportError, InputError
from edge_sam.export import bundle_writer, parity
from edge_sam.export.bundle_writer import export_bundle
from edge_sam.export.onnx_writer import UNFIT_OPERATORS
from edge_sam.inference.token_list import token_list

pytestmark = pytest.mark.thorough

Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="session")
def tensors(checkpoint: Path) -> Tensors:
    loaded: Tensors = torch.load(checkpoint, weights_only=True)
    return loaded


def arrays(path: Path) -> dict[str, np.ndarray]:
    """Weights of an ONNX file by name."""
    return {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}


def test_the_bundle_in_the_package_is_what_the_checkpoint_gives(exported: Bundle) -> None:
    """Every weight equal, bit for bit; and with the versions that made it, every byte."""
    shipped = open_bundle("mobile-sam")
    made, making = shipped.manifest.made_by.versions, exported.manifest.made_by.versions
    assert shipped.manifest.source == exported.manifest.source
    for component in shipped.manifest.components:
        ours = exported.component(component.role, component.precision, component.format)
        assert (ours.inputs, ours.outputs, ours.opset) == (component.inputs, component.outputs, component.opset)
        if component.format == "onnx":
            there, here = (arrays(b.path / component.file) for b in (shipped, exported))
            assert there.keys() == here.keys()
            assert all(np.array_equal(there[name], here[name]) for name in there)
            if (made["torch"], made["onnx"]) == (making["torch"], making["onnx"]):
                assert ours.sha256 == component.sha256
    there, here = shipped.constants("w16"), exported.constants("w16")
    np.testing.assert_array_equal(there["no_mask"], here["no_mask"])
    # Computed, so the last bit may depend on the processor.
    np.testing.assert_allclose(there["padding"], here["padding"], atol=5e-4)


def test_halved_weights_keep_the_masks(exported: Bundle, coffee: np.ndarray) -> None:
    prompts = [Prompt(box=(76, 18, 478, 390)), Prompt(points=[(250, 120)]), Prompt(box=(170, 15, 415, 215))]
    answers = []
    for precision in ("fp32", "w16"):
        predictor = edge_sam.load(exported.path, precision=precision)
        answers.append(predictor.predict(predictor.encode(coffee), prompts, multimask=False, prefer="single"))
    for exact, halved in zip(*answers, strict=True):
        assert iou(exact.masks[0], halved.masks[0]) > 0.995
    assert edge_sam.load(exported.path).precision == "fp32"


def test_the_manifest_says_how_well_it_agrees(exported: Bundle) -> None:
    for measured in exported.manifest.measured:
        assert 0 < measured.values["image_embedding"] <= parity.EMBEDDING_BOUND
        assert 0 < measured.values["low_res_logits"] <= parity.LOGIT_BOUND
        assert 0 < measured.values["predicted_iou"] <= parity.SCORE_BOUND


def test_graphs_suit_every_runtime(exported: Bundle) -> None:
    for component in exported.manifest.components:
        if component.format == "onnx":
            graph = onnx.load(exported.path / component.file).graph
            assert not {node.op_type for node in graph.node} & UNFIT_OPERATORS
            assert {node.domain for node in graph.node} <= {"", "ai.onnx"}


def test_openvino_runs_the_same_files(exported: Bundle, coffee: np.ndarray) -> None:
    openvino = pytest.importorskip("openvino")
    predictor = edge_sam.load(exported.path, precision="w16")
    embedding = predictor.encode(coffee)
    core = openvino.Core()
    core.set_property("CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(role: str, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        model = core.compile_model(str(exported.path / f"{role}.w16.onnx"), "CPU")
        return list(model(inputs).values())

    image = np.random.default_rng(0).standard_normal((1, 3, 688, 1024)).astype(np.float32)
    reference = predictor.model.active.encoder.run({"image": image})["image_embedding"]
    np.testing.assert_allclose(run("encoder", {"image": image})[0], reference, atol=1e-3)
    listed = token_list(43, 64)
    inputs = {
        "image_tokens": listed.take(embedding.features[None]),
        **listed.inputs,
        "point_coords": np.array([[[400.0, 200.0], [0, 0]], [[100.0, 50.0], [700, 600]]], np.float32),
        "point_labels": np.array([[1, -2], [2, 3]]),
        "token_size": np.array([43, 64]),
    }
    expected = predictor.model.active.decoder.run(inputs)
    scores, attended, weights = run("decoder", inputs)
    np.testing.assert_allclose(scores, expected["predicted_iou"], atol=1e-4)
    first = {"attended_tokens": attended, "mask_weights": weights, "token_size": inputs["token_size"]}
    np.testing.assert_allclose(run("upscaling", first)[0], expected["low_res_logits"], atol=2e-2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("mask_decoder.iou_token.weight"), r"missing: mask_decoder\.iou_token\.weight"),
        (lambda t: t.update({"surprise.weight": torch.zeros(1)}), r"unknown: surprise\.weight"),
        (
            lambda t: t.update({"mask_decoder.iou_token.weight": torch.zeros(2, 256)}),
            r"wrong shape: mask_decoder\.iou_token\.weight is \[2, 256\], expected \[1, 256\]",
        ),
        (lambda t: t.clear(), "not a checkpoint of a known SAM family"),
        (
            lambda t: (t.clear(), t.update({"image_encoder.neck.convs.0.conv_1x1.weight": torch.zeros(1)})),
            "is a checkpoint of EfficientTAM",
        ),
    ],
)
def test_refuses_a_checkpoint_that_does_not_fit(
    tensors: Tensors, tmp_path: Path, change: Callable[[Tensors], object], message: str
) -> None:
    altered = dict(tensors)
    change(altered)
    torch.save(altered, tmp_path / "altered.pt")
    with pytest.raises(InputError, match=message):
        export_bundle(tmp_path / "altered.pt", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


class Payload:
    """What a hostile checkpoint would hold."""

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("pwned"),))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 broken"])
def test_refuses_a_file_that_is_no_checkpoint(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(InputError, match="not a checkpoint"):
        export_bundle(tmp_path / "x.pt", tmp_path / "bundle")
    with pytest.raises(InputError, match="cannot read checkpoint"):
        export_bundle(tmp_path / "absent.pt", tmp_path / "bundle")


def test_runs_no_code_from_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"x": Payload()}, tmp_path / "evil.pt")
    with pytest.raises(InputError, match="not a checkpoint of plain tensors"):
        export_bundle(tmp_path / "evil.pt", tmp_path / "bundle")
    assert not (tmp_path / "pwned").exists()
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(InputError, match="no state dict"):
        export_bundle(tmp_path / "list.pt", tmp_path / "bundle")


def test_leaves_no_bundle_when_it_disagrees(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "EMBEDDING_BOUND", 1e-9)
    with pytest.raises(ExportError, match=r"image_embedding differs by .* for an input of 1024×1024"):
        export_bundle(checkpoint, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_leaves_no_bundle_when_interrupted(checkpoint: Path, tmp_path: Path) -> None:
    def interrupt(step: str) -> None:
        if step.startswith("checking"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_bundle(checkpoint, tmp_path / "bundle", progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_replaces_a_bundle_only_when_told(
    exported: Bundle, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="already exists; give --overwrite"):
        export_bundle(checkpoint, exported.path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    with pytest.raises(InputError, match="is not a model bundle"):
        export_bundle(checkpoint, tmp_path / "photos", overwrite=True)
    with pytest.raises(InputError, match="unknown precision"):
        export_bundle(checkpoint, tmp_path / "b", precisions=["fp12"])

    old = tmp_path / "bundle"
    old.mkdir()
    (old / "manifest.json").write_text(json.dumps({"old": True}))
    (old / "stale.onnx").touch()
    monkeypatch.setattr(bundle_writer, "check_parity", lambda *_: {"image_embedding": 0.0})
    bundle = export_bundle(checkpoint, old, overwrite=True)
    assert not (old / "stale.onnx").exists()
    assert bundle.precisions == ["fp32"]
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from edge_sam import cli

    for name in [name for name in sys.modules if name.startswith("edge_sam.export")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setattr(sys, "argv", ["edge-sam", "export", "x.pt", "--output", "b"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 1
    assert 'pip install "edge-sam[export]"' in capsys.readouterr().err
