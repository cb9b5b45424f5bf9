"""The command line as a user meets it: a process of its own, its exit code, its two streams."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from command_line import run_here
from conftest import PHOTOGRAPHS, ROOT, read_pixels
from pycocotools import mask as coco

from edge_sam.bundles.bundle import BUNDLED

COFFEE = PHOTOGRAPHS / "coffee.png"
BOX = "76,18,478,390"


def edge_sam(
    *arguments: object, cwd: Path, stdin: bytes = b"", before: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", "from edge_sam.cli import main; main()", *map(str, arguments)],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        preexec_fn=before,
        check=False,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def refused(run: subprocess.CompletedProcess[str], code: int = 2) -> str:
    """The one line of an error; everything else about it is as it should be."""
    assert run.returncode == code, run.stderr
    assert run.stdout == ""
    lines = run.stderr.splitlines()
    assert len(lines) == 1, run.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def test_segments_and_reports_json(tmp_path: Path) -> None:
    run = edge_sam("segment", COFFEE, "--box", BOX, "--point", "300,120", "--output", "out", "--json", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    report = json.loads(run.stdout)
    assert (report["width"], report["height"]) == (600, 400)
    assert report["provider"] == "CPUExecutionProvider"
    assert list(report["timings_ms"]) == ["read", "preprocess", "encode", "decode", "upsample", "write"]
    (mask,) = report["masks"]
    pixels = read_pixels(tmp_path / mask["file"])
    assert set(np.unique(pixels)) == {0, 255}
    assert (coco.decode(mask["rle"]).astype(bool) == (pixels > 0)).all()
    assert mask["area"] == np.count_nonzero(pixels)
    np.testing.assert_allclose(mask["box"], [76, 18, 478, 390], atol=6)
    assert read_pixels(tmp_path / report["overlay"]).shape == (400, 600, 3)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"coffee-mask-0.png", "coffee-overlay.png"}


def test_prints_a_table_for_people(tmp_path: Path) -> None:
    run = edge_sam("segment", COFFEE, "--point", "300,120,1", "--point", "20,20,0", "--multimask", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "coffee-mask-2.png" in run.stdout
    assert "encode" in run.stdout
    assert read_pixels(tmp_path / "edge-sam-output" / "coffee-overlay.png").shape == (400, 1800, 3)


@pytest.mark.thorough
def test_standard_input_several_boxes_and_logits_to_refine(tmp_path: Path) -> None:
    arguments = ("--box", BOX, "--box", "170,15,415,215", "--save-logits", "--json", "--output", "out")
    run = edge_sam("segment", "-", *arguments, cwd=tmp_path, stdin=COFFEE.read_bytes())
    assert run.returncode == 0, run.stderr
    masks = json.loads(run.stdout)["masks"]
    assert [mask["prompt"] for mask in masks] == [0, 1]
    logits = tmp_path / masks[0]["logits"]
    assert np.load(logits).shape == (256, 256)
    again = edge_sam(
        "segment", COFFEE, "--box", BOX, "--mask-file", logits, "--json", "--output", "again", cwd=tmp_path
    )
    assert again.returncode == 0, again.stderr


def test_valid_mask_limits_the_result(tmp_path: Path) -> None:
    region = np.zeros((400, 600), np.uint8)
    region[:200] = 255
    cv2.imwrite(str(tmp_path / "roi.png"), region)
    run = edge_sam("segment", COFFEE, "--box", BOX, "--valid-mask", "roi.png", "--json", cwd=tmp_path)
    assert json.loads(run.stdout)["masks"][0]["box"][3] <= 200


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.jpg", "--point", "1,1"], "cannot read image absent.jpg: No such file"),
        (["."], "nothing to segment"),
        ([COFFEE], "nothing to segment; give at least one --point"),
        ([COFFEE, "--point", "600,10"], "point (600, 10) lies outside the 600×400 image"),
        ([COFFEE, "--point", "-5,10"], "outside"),
        ([COFFEE, "--point", "nan,10"], "finite"),
        ([COFFEE, "--point", "a,b"], "is not of the form X,Y"),
        ([COFFEE, "--point", "10,10,2"], "label 2 is neither"),
        ([COFFEE, "--box", "50,50,40,60"], "is empty; expected x0 < x1"),
        ([COFFEE, "--box", "1,2,3"], "is not of the form X0,Y0,X1,Y1"),
        ([COFFEE, "--box", BOX, "--box", BOX, "--point", "1,1"], "cannot be combined with several boxes"),
        ([COFFEE, "--mask-file", "absent.npy"], "cannot read absent.npy"),
        ([COFFEE, "--mask-file", COFFEE], "is not a .npy file of numbers"),
        ([COFFEE, "--point", "1,1", "--threads", "99999"], "threads is 99999; it must be 1 to 256"),
        ([COFFEE, "--point", "1,1", "--model", "sam-9"], "no model called 'sam-9'"),
        ([COFFEE, "--point", "1,1", "--model", "."], "not a model bundle"),
        ([COFFEE, "--point", "1,1", "--long-side", "1000"], "multiple of 16"),
        ([COFFEE, "--point", "1,1", "--precision", "int3"], "has no precision 'int3'"),
        ([COFFEE, "--point", "1,1", "--threads", "0"], "threads"),
        ([COFFEE, "--point", "1,1", "--runtime", "abacus"], "unknown runtime"),
    ],
)
def test_bad_input_gets_one_line_and_leaves_nothing(tmp_path: Path, arguments: list[object], message: str) -> None:
    assert message in refused(run_here("segment", *arguments, cwd=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_box_may_reach_beyond_the_photograph(tmp_path: Path) -> None:
    run = edge_sam("segment", COFFEE, "--box=-1e12,0,1e9,300", "--json", cwd=tmp_path)
    assert run.returncode == 0, run.stderr


def test_a_damaged_png_gets_one_line(tmp_path: Path) -> None:
    data = bytearray(COFFEE.read_bytes())
    data[50_000:50_100] = bytes(100)
    (tmp_path / "damaged.png").write_bytes(data)
    assert "is damaged" in refused(run_here("segment", "damaged.png", "--point", "1,1", cwd=tmp_path))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to this limit")
def test_out_of_memory_gets_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # It reserves memory for every core of the machine.

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (600_000_000, 600_000_000))

    refused(edge_sam("segment", COFFEE, "--box", BOX, "--threads", "1", cwd=tmp_path, before=limit), code=1)
    assert list(tmp_path.iterdir()) == []


def test_standard_error_may_be_closed(tmp_path: Path) -> None:
    run = edge_sam("segment", COFFEE, "--box", BOX, "--json", cwd=tmp_path, before=lambda: os.close(2))
    assert run.returncode == 0
    assert json.loads(run.stdout)["masks"]


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_forged_bundle_gets_one_line(tmp_path: Path, runtime: str) -> None:
    bundle = Path(shutil.copytree(BUNDLED / "mobile-sam", tmp_path / "bundle"))
    model = (bundle / "encoder.w16.onnx").read_bytes()
    forged = b"not a model".ljust(len(model))
    (bundle / "encoder.w16.onnx").write_bytes(forged)
    manifest = (bundle / "manifest.json").read_text()
    genuine, new = (hashlib.sha256(data).hexdigest() for data in (model, forged))
    (bundle / "manifest.json").write_text(manifest.replace(genuine, new))
    run = edge_sam("segment", COFFEE, "--box", BOX, "--model", bundle, "--runtime", runtime, cwd=tmp_path)
    assert "encoder.w16.onnx" in refused(run, code=1)


def test_a_plain_terminal_gets_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    assert edge_sam("models", cwd=tmp_path).returncode == 0
    assert edge_sam("segment", "--help", cwd=tmp_path).returncode == 0


@pytest.mark.thorough
def test_termination_leaves_nothing(checkpoint: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "from edge_sam.cli import main; main()",
        "export",
        str(checkpoint),
        "--output",
        "b",
    ]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("writing decoder"):
            process.terminate()
            break
    process.communicate()
    assert process.returncode == 143
    assert list(tmp_path.iterdir()) == []


def test_a_truncated_photograph_gets_one_line(tmp_path: Path) -> None:
    for source in (COFFEE, PHOTOGRAPHS / "rocket.jpg"):
        photo = tmp_path / source.name
        photo.write_bytes(source.read_bytes()[:60_000])
        line = refused(run_here("segment", photo.name, "--point", "1,1", cwd=tmp_path))
        assert "is truncated" in line
    assert refused(edge_sam("segment", "-", "--point", "1,1", cwd=tmp_path)) == "error: standard input is empty"


@pytest.mark.parametrize("command", ["nonsense", "segment"])
def test_wrong_usage_exits_with_2(tmp_path: Path, command: str) -> None:
    assert edge_sam(command, cwd=tmp_path).returncode == 2


@pytest.mark.parametrize("command", [[], ["segment"], ["export"], ["pull"], ["models"]])
def test_help_exits_with_0(tmp_path: Path, command: list[str]) -> None:
    run = edge_sam(*command, "--help", cwd=tmp_path)
    assert run.returncode == 0
    assert "Usage" in run.stdout


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    run = edge_sam("segment", COFFEE, "--box", BOX, "--output", "out", cwd=tmp_path, before=limit)
    assert "File too large" in refused(run, code=1)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.thorough
def test_a_full_disk_leaves_no_bundle(checkpoint: Path, tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000_000, 10_000_000))

    run = edge_sam("export", checkpoint, "--output", "bundle", cwd=tmp_path, before=limit)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in run.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for command in (("segment", COFFEE, "--box", BOX), ("everything", COFFEE)):
        told = refused(run_here(*command, "--output", "file/x", cwd=tmp_path))
        assert told.endswith(f"cannot write into file/x: {tmp_path / 'file'} is not a folder")
    dataset = ROOT / "nowhere"  # The output is looked at first.
    for arguments in (
        ("eval", "mobile-sam", "--dataset", dataset, "--output", "file"),
        ("bench", "--image", dataset, "--report", "file"),
        ("bench", "--image", dataset, "--per-op", "--report", "file/x"),
        ("convert", "mobile-sam", "--output", "file/x"),
        ("quantize", "mobile-sam", "--calibration", dataset, "--output", "file/x"),
    ):
        assert "file is not a folder" in refused(run_here(*arguments, cwd=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_export_refuses_with_one_line_after_its_progress(tmp_path: Path) -> None:
    run = edge_sam("export", COFFEE, "--output", "bundle", cwd=tmp_path)
    assert run.returncode == 2
    progress, error = run.stderr.splitlines()
    assert progress == "reading coffee.png …"
    assert error.startswith("error: ")
    assert "not a checkpoint" in error
    assert list(tmp_path.iterdir()) == []


def test_models_lists_the_zoo(tmp_path: Path) -> None:
    run = edge_sam("models", "--json", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    models = {model["name"]: model for model in json.loads(run.stdout)["models"]}
    assert models["mobile-sam"]["license"] == "Apache-2.0"
    assert models["mobile-sam"]["bundled"] is True
    assert models["mobile-sam"]["bundles"] == {"package": ["w16"]}
    assert models["sam2-tiny"]["parameters"] == 38_900_000
    assert models["sam2-tiny"]["bundles"] == {}
    lines = edge_sam("models", cwd=tmp_path).stdout.splitlines()
    assert lines[1].split()[:3] == ["mobile-sam", "Apache-2.0", "10.1"]
    assert {name for name in models if any(line.startswith(f"{name} ") for line in lines)} == models.keys()


def test_pull_finds_the_checkpoint_and_shows_the_licence_first(checkpoint: Path, tmp_path: Path) -> None:
    run = edge_sam("pull", "mobile-sam", "--json", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert Path(json.loads(run.stdout)["checkpoint"]).read_bytes() == checkpoint.read_bytes()
    assert "40.7 MB, licence Apache-2.0" in run.stderr.splitlines()[0]
    assert "no model called 'sam-9'" in refused(run_here("pull", "sam-9", cwd=tmp_path))


def test_runs_on_the_bundle_of_the_package(tmp_path: Path) -> None:
    run = edge_sam("segment", COFFEE, "--box", BOX, "--model", BUNDLED / "mobile-sam", "--json", cwd=tmp_path)
    assert json.loads(run.stdout)["model"] == "mobile-sam"
