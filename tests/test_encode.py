"""`edge-sam encode` makes a folder of embeddings, from which `edge-sam segment --embedding` answers."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pytest
import streams
import torch
from command_line import Done, invoke
from conftest import PHOTOGRAPHS, iou, read_rgb

from edge_sam import ImageEmbedding, Predictor, Prompt
from edge_sam.annotate.embeddings import EncodeReport, Format, encode_all, file_names
from edge_sam.annotate.sources import open_source
from edge_sam.export.reference import load_predictor
from edge_sam.imaging.view import View

COFFEE, CAT = PHOTOGRAPHS / "coffee.png", PHOTOGRAPHS / "chelsea.png"
BOX = ("--box", "76,18,478,390")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two photographs, two of one name in a subfolder, and a damaged one."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for name in ("cup10.png", "more/cup.png", "more/cup.jpg"):
        shutil.copy(COFFEE, folder / name)
    shutil.copy(CAT, folder / "cup9.png")
    (folder / "bad.jpg").write_bytes(COFFEE.read_bytes()[:1000])
    return folder


FILES = ["cup9.npz", "cup10.npz", "more/cup.jpg.npz", "more/cup.png.npz"]
"""Of these photographs, in natural order."""


def encoded(
    predictor: Predictor, *, long_side: int = 256, kind: Format = "npz", stopped: Callable[[], bool] = lambda: False
) -> EncodeReport:
    """Do what the command does, without loading the model again."""
    view = View(long_side=long_side)
    return encode_all(
        open_source("photos"),
        predictor,
        Path("out"),
        kind=kind,
        view=view,
        stopped=stopped,
        step=lambda: None,
    )


def index() -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path("out/embeddings.jsonl").read_text().splitlines()]


def refused(done: Done, code: int = 2) -> str:
    assert (done.exit_code, done.stdout) == (code, ""), done.stderr
    (line,) = done.stderr.splitlines()
    return line.removeprefix("error: ")


@pytest.mark.usefixtures("photos")
def test_a_folder_becomes_embeddings_once(predictor: Predictor, coffee: np.ndarray) -> None:
    command = ("encode", "photos", "--output", "out", "--long-side", "256", "--json")
    report = json.loads(invoke(*command).stdout)
    assert (report["photographs"], report["encoded"], report["kept"]) == (5, 4, 0)
    assert [one["name"] for one in report["skipped"]] == ["bad.jpg"]
    assert report["failed"] == []
    assert [entry["file"] for entry in index()] == FILES
    assert [(entry["width"], entry["height"]) for entry in index()] == [(451, 300)] + [(600, 400)] * 3
    loaded = ImageEmbedding.load("out/cup10.npz")
    assert loaded.geometry.image_size == (400, 600)
    np.testing.assert_array_equal(loaded.features, predictor.encode(coffee, long_side=256).features)
    before = {file: Path("out", file).stat().st_mtime_ns for file in FILES}
    report = json.loads(invoke(*command).stdout)
    assert (report["encoded"], report["kept"], len(report["skipped"])) == (0, 4, 1)
    assert {file: Path("out", file).stat().st_mtime_ns for file in FILES} == before
    there = {path.relative_to("out").as_posix() for path in Path("out").rglob("*") if path.is_file()}
    assert there == {".lock", "embeddings.jsonl", *FILES}


def test_what_no_longer_fits_is_encoded_again(photos: Path, predictor: Predictor) -> None:
    encoded(predictor)
    shutil.copy(CAT, photos / "cup10.png")
    assert encoded(predictor).encoded == 1
    assert ImageEmbedding.load("out/cup10.npz").geometry.image_size == (300, 451)
    os.utime(photos / "cup9.png")  # The same photograph at another time.
    assert encoded(predictor).encoded == 0
    Path("out/cup9.npz").unlink()
    Path("out/more/cup.png.npz").write_bytes(b"shorter")
    assert encoded(predictor).encoded == 2
    lines = Path("out/embeddings.jsonl").read_bytes()
    damaged = b'\xff\n[[\n{"image": 1}\n' + lines[:-40]  # A killed run leaves half a line.
    Path("out/embeddings.jsonl").write_bytes(damaged)
    Path("out/more/.edge-sam-0123456789abcdef.part").touch()
    assert encoded(predictor).encoded == 1
    assert Path("out/embeddings.jsonl").read_bytes() == lines
    assert not list(Path("out").rglob("*.part"))
    assert encoded(predictor, long_side=128).kept == 0
    (photos / "cup9.png").unlink()  # Its embedding stays, and so does its line.
    assert encoded(predictor, long_side=128).kept == 3
    assert [entry["file"] for entry in index()] == FILES


@pytest.mark.usefixtures("photos")
def test_npy_is_what_labelling_tools_take(predictor: Predictor, coffee: np.ndarray) -> None:
    assert encoded(predictor, kind="npy").encoded == 4
    array = np.load("out/cup10.npy", allow_pickle=False)
    assert (array.shape, array.dtype, array.flags.c_contiguous) == ((1, 256, 64, 64), np.float32, True)
    expected = predictor.encode(coffee, long_side=256).features
    np.testing.assert_array_equal(array[0].transpose(1, 2, 0), expected)
    assert encoded(predictor, kind="npz").encoded == 4
    assert encoded(predictor, kind="npy").kept == 4
    assert len(index()) == 8


def test_the_reference_s_decoder_takes_npy(checkpoint: Path, photos: Path, predictor: Predictor) -> None:
    """The photograph's own tokens do for other decoders: the rest of the grid holds the embedding of padding."""
    for name in ("bad.jpg", "cup9.png", "more/cup.png", "more/cup.jpg"):
        (photos / name).unlink()
    encoded(predictor, long_side=1024, kind="npy")
    reference = load_predictor(checkpoint)
    reference.features = torch.from_numpy(np.load("out/cup10.npy"))
    reference.original_size, reference.input_size, reference.is_image_set = (400, 600), (683, 1024), True
    theirs, scores, _ = reference.predict(box=np.array((76, 18, 478, 390)), multimask_output=False)
    embedding = predictor.encode(photos / "cup10.png")
    ours = predictor.predict(embedding, Prompt(box=(76, 18, 478, 390)), multimask=False, prefer="single")
    assert iou(theirs, ours.masks) > 0.995
    np.testing.assert_allclose(scores, ours.scores, atol=0.01)


@pytest.mark.usefixtures("photos")
def test_people_read_a_line_for_each_photograph_that_is_missing() -> None:
    Path("list.txt").write_text("photos/cup9.png\nphotos/bad.jpg\nphotos/absent.png\n")
    done = invoke("encode", "list.txt", "--output", "out", "--long-side", "256")
    assert done.exit_code == 1
    assert done.stdout.splitlines()[0].startswith("1 photographs encoded, 0 kept, of 3; ")
    skipped, failed = done.stderr.splitlines()
    assert skipped.startswith("skipped photos/bad.jpg: ")
    assert failed.startswith("failed photos/absent.png: No such file")


def test_frames_of_a_video(tmp_path: Path, coffee: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    streams.write_video(tmp_path / "walk.mp4", streams.scene(coffee, 4, 600, 400))
    arguments = ("encode", "walk.mp4", "--every", "2", "--output", "out", "--long-side", "256", "--json")
    assert json.loads(invoke(*arguments).stdout)["encoded"] == 2
    assert json.loads(invoke(*arguments).stdout)["kept"] == 2
    assert [(entry["file"], entry["origin"]["frame"]) for entry in index()] == [
        ("walk/000000.npz", 0),
        ("walk/000002.npz", 2),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("absent", "--output", "out"), "no such folder, file or glob: absent"),
        (("photos", "--output", "photos/cup9.png"), "is not a folder"),
        (("photos", "--output", "out", "--long-side", "1000"), "multiple of 16"),
        (("photos", "--output", "out", "--precision", "int3"), "has no precision 'int3'"),
    ],
)
@pytest.mark.usefixtures("photos")
def test_impossible_requests_are_refused_before_any_work(arguments: tuple[str, ...], message: str) -> None:
    assert message in refused(invoke("encode", *arguments))
    assert not Path("out").exists()


@pytest.mark.usefixtures("photos")
def test_two_runs_do_not_write_into_one_folder() -> None:
    Path("out").mkdir()
    with filelock.FileLock("out/.lock"):
        assert "another run writes into out" in refused(
            invoke("encode", "photos", "--output", "out", "--long-side", "256")
        )


@pytest.mark.usefixtures("photos")
def test_a_stopped_run_goes_on(predictor: Predictor) -> None:
    answers = iter((False, False, True))
    report = encoded(predictor, stopped=lambda: next(answers))
    assert (report.kept, report.encoded, len(report.skipped)) == (0, 1, 1)
    assert [entry["file"] for entry in index()] == FILES[:1]
    report = encoded(predictor)
    assert (report.kept, report.encoded) == (1, 3)


def test_a_killed_run_leaves_whole_embeddings(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for i in range(12):
        shutil.copy(COFFEE, tmp_path / "photos" / f"{i}.png")
    code = "from edge_sam.cli import main; main()"
    command = [sys.executable, "-c", code, "encode", "photos", "--output", "out", "--long-side", "64", "--json"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        while not (tmp_path / "out/1.npz").exists() and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    files = list((tmp_path / "out").glob("*.npz"))
    assert 2 <= len(files) < 12
    for file in files:
        ImageEmbedding.load(file)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    report = json.loads(done.stdout)
    assert report["kept"] >= len(files) - 1  # The last may have no line yet.
    assert report["kept"] + report["encoded"] == 12
    assert not list((tmp_path / "out").rglob("*.part"))


@pytest.fixture(scope="module")
def embeddings(embedding: ImageEmbedding, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cup's embedding, and two that seem to come from elsewhere."""
    folder = tmp_path_factory.mktemp("embeddings")
    embedding.save(folder / "cup.npz")
    dataclasses.replace(embedding, model="0" * 64).save(folder / "other.npz")
    dataclasses.replace(embedding, precision="int8").save(folder / "int8.npz")
    return folder


def test_names_of_files_never_clash() -> None:
    names = ["a/cup.jpg", "cup.jpg", "Cup.png", "b.jpg", "b.png", "b.jpg.png", "noend"]
    assert file_names(names, ".npz") == {
        "a/cup.jpg": "a/cup.npz",
        "cup.jpg": "cup.jpg.npz",
        "Cup.png": "Cup.png.npz",
        "b.jpg": "b.jpg.npz",
        "b.png": "b.png.npz",
        "b.jpg.png": "b.jpg.png.npz",
        "noend": "noend.npz",
    }


def test_an_embedding_answers_in_place_of_the_photograph(
    tmp_path: Path, predictor: Predictor, coffee: np.ndarray
) -> None:
    predictor.encode(coffee, long_side=256).save(tmp_path / "cup.npz")
    ask = (*BOX, "--output", str(tmp_path / "out"))
    cup = ("--embedding", str(tmp_path / "cup.npz"))
    direct = json.loads(invoke("segment", str(COFFEE), "--long-side", "256", *ask, "--json").stdout)
    both = json.loads(invoke("segment", str(COFFEE), *cup, *ask, "--json").stdout)
    assert both.keys() == direct.keys()
    assert both["masks"] == direct["masks"]
    assert list(both["timings_ms"]) == ["read", "decode", "upsample", "write"]
    assert read_rgb(Path(both["overlay"])).shape == (400, 600, 3)
    alone = json.loads(invoke("segment", *cup, *ask, "--json").stdout)
    (mask,) = alone["masks"]
    assert mask["rle"] == direct["masks"][0]["rle"]
    assert mask["rle"]["size"] == [alone["height"], alone["width"]] == [400, 600]
    assert Path(mask["file"]).name == "cup-mask-0.png"
    assert (alone["image"], alone["overlay"]) == (None, None)
    assert "overlay" not in invoke("segment", *cup, *ask).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((str(CAT), "--embedding", "cup.npz"), "is 451×300, but cup.npz is of a 600×400 photograph"),
        (("--embedding", "other.npz"), "made with another model (000000000000, this predictor has"),
        (("--embedding", "int8.npz"), "has no precision 'int8'"),
        (("--embedding", "int8.npz", "--precision", "w16"), "made with another precision (int8, this predictor has"),
        (("--embedding", "cup.npz", "--square"), "--long-side, --square and --no-square belong to encoding"),
        (("--embedding", "absent.npz"), "cannot read absent.npz"),
        (("--embedding", str(COFFEE)), "is not an image embedding"),
        (("--embedding", "cup.npz", "--point", "700,1"), "outside the 600×400 image"),
        ((), "there is no photograph; give one, or its --embedding"),
    ],
)
def test_an_embedding_that_does_not_fit_is_refused_in_one_line(
    embeddings: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(embeddings)
    assert message in refused(invoke("segment", *arguments, *BOX))
    assert not Path("edge-sam-output").exists()
