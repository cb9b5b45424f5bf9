"""`edge-sam quantize` on the real model, with one or two of the examples' photographs."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from command_line import run_here
from conftest import PHOTOGRAPHS, iou, quantize
from test_cli import edge_sam as run_command
from test_cli import refused

import edge_sam
from edge_sam.bundles.bundle import BUNDLED, Bundle, open_bundle
from edge_sam.cli.progress import progress_bar
from edge_sam.errors import AccuracyError, RuntimeUnavailableError
from edge_sam.inference.choice import choices
from edge_sam.inference.run_options import RunOptions
from edge_sam.quantize import ranking, reference_masks, schemes
from edge_sam.quantize.accuracy import find_ground_truths
from edge_sam.quantize.photographs import find_photographs
from edge_sam.quantize.quantizer import QuantizationResult, quantize_bundle
from edge_sam.quantize.recipe import Blocks, every_block
from edge_sam.quantize.settings import QuantizeSettings

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one")
    shutil.copy(PHOTOGRAPHS / "chelsea.png", folder)
    return folder


def test_int8_segments_like_float(quantized: tuple[Bundle, dict[str, Any]], predictor: edge_sam.Predictor) -> None:
    bundle, _ = quantized
    small = edge_sam.load(bundle.path, runtime="onnxruntime", precision="int8", strict=True)
    prompt = edge_sam.Prompt(box=(120, 30, 450, 290))
    ours, exact = (
        each.predict(each.encode(PHOTOGRAPHS / "chelsea.png"), prompt, multimask=False) for each in (small, predictor)
    )
    assert iou(ours.masks[0], exact.masks[0]) > 0.95
    assert np.abs(ours.logits - exact.logits).max() > 0.1, "nothing was quantised"


def test_files_are_small_and_the_old_ones_stay(quantized: tuple[Bundle, dict[str, Any]]) -> None:
    bundle, facts = quantized
    assert facts["files"]["encoder.int8.onnx"] <= 8e6
    assert facts["files"]["decoder.int8.onnx"] <= 5e6
    assert bundle.precisions == ["w16", "int8"]
    for component in bundle.manifest.components:
        bundle.verified_file(component)
    for file in (BUNDLED / "mobile-sam").iterdir():
        if file.name != "manifest.json":
            assert (bundle.path / file.name).read_bytes() == file.read_bytes()


def test_manifest_says_where_int8_comes_from_and_how_good_it_is(
    quantized: tuple[Bundle, dict[str, Any]], calibration: Path
) -> None:
    bundle, facts = quantized
    (record,) = bundle.manifest.calibrations
    assert (record.precision, record.target, record.photographs) == ("int8", "cpu", 2)
    digests = [hashlib.sha256(path.read_bytes()).digest() for path in sorted(calibration.iterdir())]
    assert record.fingerprint == hashlib.sha256(b"".join(digests)).hexdigest()
    measured = bundle.manifest.measured[-1]
    assert measured.precision == "int8"
    (accuracy,) = facts["accuracy"]
    assert measured.values["box mIoU"] == accuracy["miou"]["box"] > 80
    assert accuracy["agreement"]["box"] > 90


def test_auto_does_not_take_int8(quantized: tuple[Bundle, dict[str, Any]]) -> None:
    bundle, _ = quantized
    assert {choice.precision for choice in choices(bundle, RunOptions())} == {"w16"}
    assert {choice.precision for choice in choices(bundle, RunOptions(precision="smallest"))} == {"int8"}


def test_the_same_command_gives_the_same_bytes(
    quantized: tuple[Bundle, dict[str, Any]], calibration: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, _ = quantized
    monkeypatch.setenv("EDGE_SAM_THREADS", "1")
    run = run_command(*quantize(calibration), "--output", "small", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    ours = {path.name: path.read_bytes() for path in (tmp_path / "small").iterdir()}
    assert ours == {path.name: path.read_bytes() for path in bundle.path.iterdir()}


def only_the_first_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Quantise and rank the first block of each component only: all of them take minutes."""

    def first(*given: Any) -> Blocks:
        return Blocks(every_block(given[-1]).integer[:1], ())

    monkeypatch.setattr(ranking, "every_block", first)
    monkeypatch.setattr(ranking, "default_blocks", first)
    monkeypatch.setattr(schemes, "default_blocks", first)


def test_a_drop_above_the_limit_names_blocks_and_writes_nothing(
    one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_the_first_blocks(monkeypatch)
    settings = QuantizeSettings(calibration=one, samples=1, max_drop=0)
    with pytest.raises(AccuracyError, match=r"points of mIoU .* nothing was written; most is lost in encoder stages"):
        quantize_bundle(open_bundle("mobile-sam"), tmp_path / "small", settings, progress_bar)
    assert not list(tmp_path.iterdir())


def test_what_the_guard_refuses_is_not_written(one: Path, tmp_path: Path) -> None:
    run = run_command(*quantize(one), "--observer", "entropy", "--output", "small", cwd=tmp_path)
    line = refused(run, 1)
    assert "too far from the float model" in line
    assert "differs by" in line
    assert not list(tmp_path.iterdir())


def test_refuses_a_bundle_that_is_quantised_already(
    quantized: tuple[Bundle, dict[str, Any]], one: Path, tmp_path: Path
) -> None:
    run = run_command("quantize", quantized[0].path, *quantize(one)[2:], "--output", "again", cwd=tmp_path)
    assert "already has int8" in refused(run)
    assert not list(tmp_path.iterdir())


def _empty(folder: Path) -> None:
    """Nothing in it."""


def _unreadable(folder: Path) -> None:
    (folder / "a.jpg").write_bytes(b"not a photograph")


def _black(folder: Path) -> None:
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(folder / name), np.zeros((60, 80, 3), np.uint8))


@pytest.mark.parametrize(
    ("fill", "message"),
    [(_empty, "no photograph in"), (_unreadable, "can be read"), (_black, "of one colour")],
)
def test_refuses_a_folder_that_teaches_nothing(fill: Any, message: str, tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    fill(folder)
    run = run_command("quantize", "mobile-sam", "--calibration", folder, "--output", "small", cwd=tmp_path)
    assert message in refused(run)
    assert [path.name for path in tmp_path.iterdir()] == ["photographs"]


@pytest.mark.parametrize("option", [("--target", "toaster"), ("--observer", "eye"), ("--precision", "int1")])
def test_refuses_what_it_does_not_know(option: tuple[str, str], one: Path, tmp_path: Path) -> None:
    line = refused(run_here(*quantize(one), "--output", "small", *option, cwd=tmp_path))
    assert f"unknown {option[0][2:]} '{option[1]}'; known: " in line


def test_without_the_extra_it_says_what_to_install(one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "onnx.py").write_text("raise ModuleNotFoundError(\"No module named 'onnx'\", name='onnx')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    run = run_command(*quantize(one), "--output", "small", cwd=tmp_path)
    assert 'pip install "edge-sam[quantize]"' in refused(run, 1)


def test_fp16_is_for_gpus_and_judged_as_they_round(one: Path, tmp_path: Path) -> None:
    run = run_command(*quantize(one)[:4], "--precision", "fp16", "--output", "half", "--json", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert report["calibration"] is None
    assert min(report["accuracy"][0]["agreement"].values()) > 99
    half = open_bundle(tmp_path / "half")
    assert half.precisions == ["w16", "fp16"]
    assert not half.manifest.calibrations
    assert edge_sam.load(half.path, runtime="onnxruntime", precision="fp16", strict=True).precision == "fp16"
    refusal = run_command(
        *quantize(one)[:4], "--precision", "fp16", "--target", "arm", "--output", "other", cwd=tmp_path
    )
    assert "fp16 is not available for arm, only for tensorrt" in refused(refusal)
    refusal = run_command(*quantize(one)[:4], "--precision", "fp16", "--explain", "--output", "other", cwd=tmp_path)
    assert "fp16 has no choice of blocks" in refused(refusal)


def with_masks(folder: Path, count: int) -> Path:
    """Copies of a photograph, each with the mask of a disc."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    photograph = cv2.imread(str(PHOTOGRAPHS / "chelsea.png"))
    assert photograph is not None
    disc = cv2.circle(np.zeros(photograph.shape[:2], np.uint8), (220, 130), 90, 255, -1)
    for i in range(count):
        cv2.imwrite(str(folder / "images" / f"{i}.png"), photograph)
        cv2.imwrite(str(folder / "masks" / f"{i}.png"), disc)
    return folder


@pytest.mark.parametrize(("samples", "unseen"), [(4, True), (6, False)])
def test_known_masks_are_of_photographs_that_were_not_calibrated_with(
    samples: int, unseen: bool, tmp_path: Path, predictor: edge_sam.Predictor
) -> None:
    photographs = find_photographs(with_masks(tmp_path / "six", 6), samples, seed=0)
    judged = {sample.image for sample in photographs.masked}
    assert judged.isdisjoint(photographs.calibration) == unseen
    assert len(judged) == (2 if unseen else 6)
    assert [(truth.name, truth.unseen) for truth in find_ground_truths(predictor, photographs)] == [
        ("known masks", unseen),
        ("the float model's masks", unseen),
    ]


def test_where_the_float_model_sees_nothing_it_says_so_before_calibrating(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference_masks, "find_objects", lambda *_: [])  # It takes even grain for an object.
    folder = tmp_path / "grain"
    folder.mkdir()
    grain = np.random.default_rng(0).integers(100, 156, (64, 96, 3), np.uint8)
    cv2.imwrite(str(folder / "a.png"), grain)

    def steps(what: str, _: int) -> Any:
        raise AssertionError(what)

    with pytest.raises(edge_sam.InputError, match="is confident of no object in any of the 1 photographs"):
        quantize_bundle(open_bundle("mobile-sam"), tmp_path / "small", QuantizeSettings(calibration=folder), steps)
    assert [path.name for path in tmp_path.iterdir()] == ["grain"]


def explain(photographs: Path, output: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> QuantizationResult:
    """Quantise and rank two blocks, where timing them fails."""

    def profile(*_: object) -> list[Any]:
        raise error

    only_the_first_blocks(monkeypatch)
    monkeypatch.setattr(ranking, "profile", profile)
    settings = QuantizeSettings(calibration=photographs, samples=1, max_drop=100)
    return quantize_bundle(open_bundle("mobile-sam"), output, settings, progress_bar, explain=True)


def test_what_the_guard_says_of_every_block_in_int8_is_no_verdict(
    one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = explain(one, tmp_path / "b", monkeypatch, RuntimeUnavailableError("too far"))
    assert [row.saved_ms for row in outcome.ranking] == [None, None]
    assert open_bundle(tmp_path / "b").precisions == ["w16", "int8"]


def test_a_ranking_that_fails_spares_the_bundle(one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="disk full"):
        explain(one, tmp_path / "b", monkeypatch, OSError("disk full"))
    assert open_bundle(tmp_path / "b").precisions == ["w16", "int8"]
