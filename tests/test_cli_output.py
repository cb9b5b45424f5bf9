"""Photographs whose names are not UTF-8, from the command line to the files and back."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from conftest import PHOTOGRAPHS
from test_cli import edge_sam

from edge_sam.annotate.records import LabelledMask, Record
from edge_sam.files.serialization import from_json, to_json

NAME = os.fsdecode(b"caf\xe9.png")
QUICK = ("--long-side", "256", "--json")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the file system takes UTF-8 names only")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of one photograph, its own name not UTF-8 either."""
    made = tmp_path / os.fsdecode(b"\xe9t\xe9")
    made.mkdir()
    shutil.copy2(PHOTOGRAPHS / "coffee.png", made / NAME)
    return made


def test_values_come_back() -> None:
    mask = LabelledMask({"size": [2, 2], "counts": "04"}, 4, (0, 0, 2, 2), 0.9, 0.8, [[1.0, 1.0]], (0, 0, 2, 2))
    for name in ("café.png", NAME):
        record = Record(name, 2, 2, [mask], rejected={"empty": 1})
        assert from_json(to_json(record), Record) == record
    assert to_json({"name": "café.png"}) == msgspec.json.encode({"name": "café.png"})


@pytest.mark.parametrize("data", [b"{", b'"\\udce9', b"\xff", b'{"name": "\\udce9", "width": "wide"}'])
def test_what_is_damaged_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        from_json(data, Record)


@pytest.mark.thorough
def test_bench_measures_it(folder: Path) -> None:
    few = ("--runtime", "onnxruntime", "--precision", "w16", "--rounds", "1", "--warm-up", "0")
    run = edge_sam("bench", "--image", NAME, *few, "--report", "out", *QUICK, cwd=folder)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["images"] == [NAME]
    assert json.loads((folder / "out" / "bench.json").read_bytes())["images"] == [NAME]


@pytest.mark.thorough
def test_annotate_keeps_its_name_and_goes_on(folder: Path) -> None:
    (folder / "boxes.csv").write_bytes(b"image,x0,y0,x1,y1\nrocket.png,1,1,90,90\n")
    shutil.copy2(PHOTOGRAPHS / "rocket.jpg", folder / "rocket.png")
    command = ("annotate", folder, "--prompts", "boxes.csv", "--output", "coco.json", "--workers", "1", *QUICK)
    for done_now in (2, 0):
        run = edge_sam(*command, cwd=folder)
        assert run.returncode == 0, run.stderr
        assert json.loads(run.stdout)["done_now"] == done_now
        images = json.loads((folder / "coco.json").read_bytes())["images"]
        assert sorted(image["file_name"] for image in images) == sorted((NAME, "rocket.png"))


def test_eval_says_its_dataset(folder: Path) -> None:
    for kind in ("images", "masks"):
        (folder / kind).mkdir()
    shutil.move(folder / NAME, folder / "images" / NAME)
    mask = np.zeros((400, 600), np.uint8)
    mask[100:300, 100:400] = 255
    (folder / "masks" / NAME).write_bytes(cv2.imencode(".png", mask)[1].tobytes())
    run = edge_sam("eval", "mobile-sam", "--dataset", folder, "--prompts", "box", "--worst", "1", *QUICK, cwd=folder)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["dataset"]["path"] == str(folder)
