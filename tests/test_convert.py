"""OpenVINO's own format in a bundle, and building ahead of time."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import Done, invoke
from conftest import iou

import edge_sam
from edge_sam import InputError, Predictor, Prompt
from edge_sam.bundles.bundle import BUNDLED, Bundle, open_bundle
from edge_sam.bundles.manifest import MANIFEST
from edge_sam.export.openvino_writer import convert_bundle, require_formats

pytestmark = pytest.mark.thorough

pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def conversion(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Done]:
    """A bundle with a figure of its own, converted by command, and what that printed."""
    folder = tmp_path_factory.mktemp("converted")
    source = Path(shutil.copytree(BUNDLED / "mobile-sam", folder / "source"))
    manifest = json.loads((source / MANIFEST).read_text())
    manifest["measured"].append({"what": "mIoU", "precision": "int8", "protocol": "p", "values": {"box mIoU": 76.1234}})
    (source / MANIFEST).write_text(json.dumps(manifest))
    done = invoke("convert", str(source), "--output", str(folder / "both"))
    assert done.exit_code == 0, done.stderr
    return open_bundle(folder / "both"), done


@pytest.fixture
def converted(conversion: tuple[Bundle, Done], tmp_path: Path) -> Bundle:
    """A copy of it that a test may change."""
    return open_bundle(shutil.copytree(conversion[0].path, tmp_path / "both"))


@pytest.mark.usefixtures("own_cache")
def test_openvino_reads_its_own_format(converted: Bundle, predictor: Predictor, coffee: np.ndarray) -> None:
    for component in converted.manifest.components:
        if component.format == "onnx":
            (converted.path / component.file).unlink()
    loaded = edge_sam.load(converted.path, runtime="openvino", strict=True)
    prompt = Prompt(box=(76, 18, 478, 390))
    ours = loaded.predict(loaded.encode(coffee), prompt, multimask=False)
    reference = predictor.predict(predictor.encode(coffee), prompt, multimask=False)
    assert iou(ours.masks[0], reference.masks[0]) >= 0.99


def test_it_has_the_name_of_its_folder(converted: Bundle) -> None:
    assert converted.manifest.name == "both"
    assert converted.manifest.made_by.command.endswith("&& edge-sam convert mobile-sam --output both")


def test_figures_are_printed_as_people_write_them(conversion: tuple[Bundle, Done]) -> None:
    printed = conversion[1].stdout
    assert "int8: mIoU: box mIoU 76.1\n" in printed
    assert re.search(r"image_embedding \d(\.\d+)?e-0\d\b", printed)


def test_damaged_weights_beside_the_graph_are_refused(converted: Bundle) -> None:
    weights = converted.path / "decoder.w16.bin"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match=r"decoder\.w16\.bin does not match its hash"):
        edge_sam.load(converted.path, runtime="openvino", strict=True)


def test_what_exists_is_not_converted_again(converted: Bundle, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="already has the format openvino"):
        convert_bundle(converted, tmp_path / "again", progress=str)
    with pytest.raises(InputError, match="already exists"):
        convert_bundle(open_bundle("mobile-sam"), tmp_path / "both", progress=str)
    assert [path.name for path in tmp_path.iterdir()] == ["both"]


def test_formats_are_checked_first() -> None:
    with pytest.raises(InputError, match="unknown format 'tflite'; known: onnx, openvino"):
        require_formats(["onnx", "tflite"])
    with pytest.raises(InputError, match="needs the format onnx"):
        require_formats(["openvino"])


def test_builds_ahead_of_time(own_cache: Path) -> None:
    done = invoke("build", "mobile-sam", "--runtime", "openvino", "--json")
    assert done.exit_code == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["provider"] == "OpenVINO CPU"
    assert list(Path(facts["folder"]).rglob("*.blob"))
    assert Path(facts["folder"]).is_relative_to(own_cache)


def test_converting_needs_no_torch() -> None:
    program = "import sys; sys.modules['torch'] = None; import edge_sam.export.openvino_writer"
    subprocess.run([sys.executable, "-c", program], check=True)
