"""The guard rejects a runtime that computes wrong results, and the verdict is cached."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

import edge_sam
from edge_sam.bundles.bundle import Bundle, open_bundle
from edge_sam.bundles.contract import SAM
from edge_sam.errors import RuntimeUnavailableError
from edge_sam.inference.cache import runtime_key
from edge_sam.inference.choice import Choice
from edge_sam.inference.guard import check_probe, probe_images, probe_prompt, run_probe
from edge_sam.inference.model import LoadedModel
from edge_sam.runtimes import Tensors


@pytest.fixture(scope="module")
def stored() -> Tensors:
    return open_bundle("mobile-sam").probe("w16")


@pytest.mark.usefixtures("own_cache")
def test_the_real_model_passes(stored: Tensors) -> None:
    loaded = LoadedModel(open_bundle("mobile-sam"), Choice("onnxruntime", "w16", None, "test"))
    differences = check_probe(run_probe(loaded), stored, "w16")
    assert max(differences.values()) < 1e-4


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda a: a * np.float32(np.nan), "not finite"),
        (lambda a: np.stack([a[0], a[0]]), "hardly differs between two different images"),
        (lambda a: a * np.float32(1.01), "from the reference"),
        (lambda a: a[..., ::-1], "from the reference"),
        (lambda a: a[:, 1:], "has shape"),
    ],
)
@pytest.mark.parametrize("output", ["image_embedding", "low_res_logits"])
def test_what_is_wrong_is_named(
    stored: Tensors, output: str, spoil: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    check_probe(stored, stored, "w16")
    with pytest.raises(RuntimeUnavailableError, match=f"{output}.*{message}"):
        check_probe({**stored, output: spoil(stored[output])}, stored, "w16")


def judged(rows: list[float], precision: str) -> dict[str, float] | str:
    """What the guard says of an output of one number for each image, where 0 and 10 are stored."""
    stored = {"x": np.array([[0], [10]], np.float32)}
    try:
        return check_probe({"x": np.array(rows, np.float32).reshape(-1, 1)}, stored, precision)
    except RuntimeUnavailableError as error:
        return str(error)


@pytest.mark.parametrize(
    ("rows", "precision", "verdict"),
    [
        ([0, 10], "fp32", {"x": 0}),
        ([0, 13], "int8", {"x": 0.3}),
        ([0, 13.5], "int8", "x differs by 0.35 from the reference (allowed for int8: 0.3)"),
        ([0, 13], "unheard-of", "x differs by 0.3 from the reference (allowed for unheard-of: 0.001)"),
        ([5, 10], "fp32", "x differs by 0.5 from the reference (allowed for fp32: 0.001)"),
        ([6, 10], "fp32", "x hardly differs between two different images (0.4 instead of 1)"),
        ([0, np.inf], "fp32", "x of the probe is not finite"),
        ([0], "fp32", "x of the probe has shape (1, 1), not (2, 1)"),
    ],
)
def test_bounds_are_kept_to_the_number(rows: list[float], precision: str, verdict: object) -> None:
    assert judged(rows, precision) == verdict


def test_the_probe_is_the_one_that_bundles_store_the_answers_to() -> None:
    images = list(probe_images(SAM))
    assert [image.shape for image in images] == [(1, 3, 160, 256)] * 2
    digest = hashlib.sha256(b"".join(image.tobytes() for image in images)).hexdigest()
    assert digest == "64a6ea5b8620d5f64acafe76212ae85894eeafa11565d4cafa9c478523b8a03e"
    prompt = probe_prompt(SAM)
    assert {name: array.tolist() for name, array in prompt.items()} == {
        "point_coords": [[[120, 80], [0, 0]]],
        "point_labels": [[1, -1]],
        "token_size": [10, 16],
    }
    assert [array.dtype.name for array in prompt.values()] == ["float32", "int64", "int64"]


@pytest.mark.thorough
def test_a_wrong_encoder_is_rejected_and_the_verdict_kept(exported: Bundle, tmp_path: Path, own_cache: Path) -> None:
    """One layer's weights lost: everything loads and runs, and the masks are rubbish."""
    wrong = with_a_spoilt_encoder(exported, tmp_path / "wrong")
    for _ in range(2):  # The second time from memory.
        with pytest.raises(RuntimeUnavailableError, match="image_embedding hardly differs between two"):
            edge_sam.load(wrong.path, precision="fp32", runtime="onnxruntime", strict=True)
    record = json.loads((own_cache / "guard" / f"{runtime_key(wrong, 'onnxruntime', 'fp32')}.json").read_bytes())
    assert "image_embedding" in record["rejected"]
    assert edge_sam.load(exported.path, precision="fp32").precision == "fp32"


@pytest.mark.thorough
def test_a_record_without_a_verdict_is_not_trust(own_cache: Path, exported: Bundle) -> None:
    file = own_cache / "guard" / f"{runtime_key(exported, 'onnxruntime', 'fp32')}.json"
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    edge_sam.load(exported.path, precision="fp32", runtime="onnxruntime")
    assert json.loads(file.read_bytes())["rejected"] is None


@pytest.mark.thorough
def test_two_processes_fill_one_cache(own_cache: Path) -> None:
    pytest.importorskip("openvino")
    program = "import edge_sam, sys; print(edge_sam.load(runtime=sys.argv[1], strict=True).runtime)"
    processes = [
        subprocess.Popen([sys.executable, "-c", program, "openvino"], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = [process.communicate(timeout=120)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert len(set(answers)) == 1
    (verdict,) = own_cache.rglob("*.json")
    assert json.loads(verdict.read_bytes())["rejected"] is None
    assert len(list(own_cache.rglob("*.blob"))) == len(open_bundle("mobile-sam").graphs)
    assert not list(own_cache.rglob("*.part"))


@pytest.mark.thorough
def test_the_key_changes_with_what_matters(exported: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {runtime_key(exported, runtime, p) for runtime in ("onnxruntime", "openvino") for p in ("fp32", "w16")}
    assert len(keys) == 4
    monkeypatch.setattr("edge_sam.system.machine.metadata.version", lambda _: "99.0")
    assert runtime_key(exported, "onnxruntime", "fp32") not in keys


def with_a_spoilt_encoder(bundle: Bundle, folder: Path) -> Bundle:
    """Copy a bundle with one weight of its encoder set to zero, hashes in order."""
    shutil.copytree(bundle.path, folder)
    component = bundle.component("encoder", "fp32", "onnx")
    model = onnx.load(folder / component.file)
    largest = max(model.graph.initializer, key=lambda t: len(t.raw_data))
    largest.raw_data = bytes(len(largest.raw_data))
    data = model.SerializeToString()
    (folder / component.file).write_bytes(data)
    manifest = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(
        manifest.replace(component.sha256, hashlib.sha256(data).hexdigest()).replace(
            f'"bytes": {component.bytes}', f'"bytes": {len(data)}'
        )
    )
    return open_bundle(folder)
