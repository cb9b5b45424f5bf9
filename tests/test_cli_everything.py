"""`edge-sam everything` as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from command_line import run_here
from conftest import PHOTOGRAPHS, read_pixels
from pycocotools import mask as coco
from test_cli import edge_sam, refused

from edge_sam.imaging.labels import read_labels

COFFEE = PHOTOGRAPHS / "coffee.png"
QUICK = ("--points-per-side", "6", "--no-square")


def test_writes_masks_labels_and_overlay(tmp_path: Path) -> None:
    run = edge_sam("everything", COFFEE, *QUICK, "--output", "out", "--json", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    report = json.loads(run.stdout)
    assert (report["width"], report["height"]) == (600, 400)
    assert 0 < report["prompts"] <= 36
    assert len(report["masks"]) >= 3
    labels = read_pixels(tmp_path / report["labels"])
    assert labels.dtype == np.uint16
    np.testing.assert_array_equal(read_labels(tmp_path / report["labels"]), labels)
    # Where masks overlap the smallest is seen, so the smallest of all is seen whole.
    smallest = min(range(len(report["masks"])), key=lambda i: report["masks"][i]["area"])
    seen = labels == smallest + 1
    assert (seen == coco.decode(report["masks"][smallest]["segmentation"]).astype(bool)).all()
    assert read_pixels(tmp_path / report["overlay"]).shape == (400, 600, 3)
    assert json.loads((tmp_path / report["file"]).read_text())["masks"] == report["masks"]
    assert len(list((tmp_path / "out").iterdir())) == 3


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read as Linux tells it")
def test_twelve_megapixels_take_at_most_600_mb(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "large.jpg"), cv2.resize(read_pixels(COFFEE), (4000, 3000)))
    code = """
import sys
from pathlib import Path
from edge_sam.cli import main
try:
    main()
finally:
    print(next(line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line), file=sys.stderr)
"""
    options = ["--points-per-side", "4", "--threads", "2", "--output", "out", "--json"]
    command = [sys.executable, "-c", code, "everything", "large.jpg", *options]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    report = json.loads(run.stdout)
    assert len(report["masks"]) >= 3
    assert read_pixels(tmp_path / report["labels"]).shape == (3000, 4000)
    assert read_pixels(tmp_path / report["overlay"]).shape == (1536, 2048, 3)
    name, kilobytes, unit = run.stderr.split()
    assert (name, unit) == ("VmHWM:", "kB")
    assert int(kilobytes) * 1024 <= 600e6


@pytest.mark.thorough
def test_streams_json_lines(tmp_path: Path) -> None:
    run = edge_sam("everything", "-", *QUICK, "--stream", cwd=tmp_path, stdin=COFFEE.read_bytes())
    assert run.returncode == 0, run.stderr
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(lines) > 1
    present: set[int] = set()
    for line in lines:
        present -= set(line["removed"])
        present |= {mask["id"] for mask in line["added"]}
    assert len(present) >= 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.thorough
def test_talks_to_people(tmp_path: Path) -> None:
    run = edge_sam("everything", COFFEE, *QUICK, "--exhaustive", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "masks from 36 prompts" in run.stdout
    assert (tmp_path / "edge-sam-output" / "coffee-everything.png").is_file()


def test_a_region_of_interest(tmp_path: Path) -> None:
    region = np.zeros((400, 600), np.uint8)
    region[:200, :300] = 255
    cv2.imwrite(str(tmp_path / "region.png"), region)
    run = edge_sam("everything", COFFEE, *QUICK, "--valid-mask", "region.png", "--json", cwd=tmp_path)
    report = json.loads(run.stdout)
    assert report["prompts"] <= 9
    for mask in report["masks"]:
        assert not coco.decode(mask["segmentation"])[region == 0].any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("absent.jpg",), "cannot read image absent.jpg"),
        ((COFFEE, "--points-per-side", "0"), "points_per_side is 0; it must be 1 to 256"),
        ((COFFEE, "--box-nms-thresh", "2"), "box_nms_thresh is 2"),
        ((COFFEE, "--long-side", "1000"), "long_side is 1000"),
        ((COFFEE, "--json", "--stream"), "give one of them"),
        ((COFFEE, "--valid-mask", PHOTOGRAPHS / "astronaut.png"), "valid_mask has shape"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments: tuple[object, ...], message: str, tmp_path: Path) -> None:
    assert message in refused(run_here("everything", *arguments, cwd=tmp_path))
    assert list(tmp_path.iterdir()) == []
