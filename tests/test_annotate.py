"""`edge-sam annotate` as a user meets it, killed and interrupted as well."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from command_line import options, run_here
from conftest import PHOTOGRAPHS, read_pixels
from pycocotools import mask as coco
from pycocotools.coco import COCO
from test_cli import edge_sam, refused

from edge_sam.annotate.tasks import share_cores
from edge_sam.everything.settings import EverythingSettings
from edge_sam.runtimes.cores import usable_cores

NAMES = ("a/coffee.png", "a/chelsea.png", "rocket.jpg", "astronaut.png")
QUICK = ("--long-side", "256", "--json")
"""A sixteenth of the usual work: these tests are about what is kept, not about how good it is."""
FUNCTION = """
import os, signal, time, edge_sam

def middle(image, name):
    if name in os.environ.get("KILLED", "").split(","):
        os.kill(os.getpid(), signal.SIGKILL)
    if name == os.environ.get("SLOW"):
        time.sleep(600)
    print("seen", name)
    height, width = image.shape[:2]
    return [edge_sam.Prompt(points=[(width / 2, height / 2)]), (edge_sam.Prompt(box=(0, 0, width / 2, height)), "half")]
"""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four photographs in two folders, boxes on them, and a function that asks."""
    for name in NAMES:
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PHOTOGRAPHS / Path(name).name, tmp_path / "photos" / name)
    rows = [f"{name},20,20,{180 + 40 * i},{200 + 20 * j},{'ab'[j]}" for i, name in enumerate(NAMES) for j in (0, 1)]
    (tmp_path / "boxes.csv").write_text("\n".join(["image,x0,y0,x1,y1,category", *rows]))
    (tmp_path / "mine.py").write_text(FUNCTION)
    return tmp_path


def annotate(
    folder: Path, output: str, *arguments: object, code: int = 0, prompts: str = "boxes.csv"
) -> dict[str, Any]:
    run = edge_sam("annotate", "photos", "--prompts", prompts, "--output", output, *QUICK, *arguments, cwd=folder)
    assert run.returncode == code, run.stderr
    report: dict[str, Any] = json.loads(run.stdout)
    return report


def records(folder: Path, output: str) -> dict[Path, int]:
    """Finished photographs, and when each was written."""
    return {file: file.stat().st_mtime_ns for file in Path(folder, f"{output}.work", "records").glob("*/*.json")}


def started(folder: Path, output: str, *arguments: str, prompts: str = "boxes.csv") -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from edge_sam.cli import main; main()", "annotate", "photos", *QUICK, *arguments]
    return subprocess.Popen(
        [*command, "--prompts", prompts, "--output", output],
        cwd=folder,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def wait_for(folder: Path, output: str, count: int) -> None:
    end = time.monotonic() + 60
    while len(records(folder, output)) < count:
        assert time.monotonic() < end, "no record came"
        time.sleep(0.005)


@pytest.mark.parametrize("command", ["annotate", "everything"])
def test_every_parameter_of_the_grid_is_an_option(command: str) -> None:
    names = {field.name.replace("_", "-") for field in dataclasses.fields(EverythingSettings)}
    assert {f"--{name}" for name in names} | {"--exhaustive"} <= options(command)


def test_help_names_defaults_that_depend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    run = edge_sam("annotate", "--help", cwd=tmp_path)
    for default in ("0.88 for a grid of points, 0 for given prompts", "one for each core", "RAY_ADDRESS, else a new"):
        assert default in run.stdout


def test_processors_get_a_worker_for_each_core_and_devices_one() -> None:
    cores = usable_cores()
    for processor in ("onnxruntime", "openvino", "openvino:CPU"):
        assert share_cores(None, None, processor) == (cores, 1)
        assert share_cores(None, cores, processor) == (1, cores)
    for device in ("openvino:GPU", "cuda", "cuda:1", "tensorrt"):
        assert share_cores(None, None, device) == (1, cores)
    assert share_cores(1, None, "onnxruntime") == (1, cores)
    assert share_cores(3, 2, "cuda") == (3, 2)


def test_writes_coco_that_pycocotools_loads(photos: Path) -> None:
    report = annotate(photos, "out.json", "--workers", "2")
    assert (report["photographs"], report["done_now"], report["done_before"]) == (4, 4, 0)
    assert report["prompts"] == 8
    assert report["annotations"] + report["rejected"].get("duplicate", 0) == 8
    data = COCO(photos / "out.json")
    images = data.loadImgs(data.getImgIds())
    assert [image["file_name"] for image in images] == sorted(NAMES)
    assert {category["name"]: category["id"] for category in data.loadCats(data.getCatIds())} == {"a": 1, "b": 2}
    annotations = data.loadAnns(data.getAnnIds())
    assert [annotation["id"] for annotation in annotations] == list(range(1, report["annotations"] + 1))
    for annotation in annotations:
        mask = data.annToMask(annotation)
        image = data.loadImgs(annotation["image_id"])[0]
        assert mask.shape == (image["height"], image["width"])
        assert annotation["area"] == mask.sum() == coco.area(annotation["segmentation"])
        x, y, width, height = annotation["bbox"]
        assert mask[y : y + height, x : x + width].sum() == mask.sum()


@pytest.mark.thorough
def test_the_data_set_does_not_depend_on_who_made_it(photos: Path) -> None:
    annotate(photos, "one.json", "--workers", "1", "--threads", "2")
    annotate(photos, "two.json", "--workers", "2", "--threads", "1")
    annotate(photos, "folder", "--workers", "2")
    assert (photos / "one.json").read_bytes() == (photos / "two.json").read_bytes()
    expected = json.loads((photos / "one.json").read_text())
    found: list[dict[str, Any]] = []
    for image in expected["images"]:
        file = json.loads((photos / "folder" / image["file_name"]).with_suffix(".json").read_text())
        assert file["image"]["file_name"] == image["file_name"]
        found += file["annotations"]
    for ours, theirs in zip(found, expected["annotations"], strict=True):
        assert {**ours, "image_id": 0, "category_id": 0, "iscrowd": 0} == {**theirs, "image_id": 0, "category_id": 0}


@pytest.mark.thorough
def test_killed_and_started_again_nothing_is_lost_or_done_twice(photos: Path) -> None:
    annotate(photos, "whole.json")
    kept: dict[Path, int] = {}
    for count, whole_group in ((1, False), (2, True)):
        process = started(photos, "killed.json", "--workers", "1")
        wait_for(photos, "killed.json", count)
        if whole_group:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        # The workers hold the pipes too: that they close means that the workers have followed their parent.
        process.communicate(timeout=30)
        assert not (photos / "killed.json").exists()
        assert kept.items() <= records(photos, "killed.json").items()
        kept = records(photos, "killed.json")
    report = annotate(photos, "killed.json")
    assert report["done_before"] == len(kept) >= 2
    assert kept.items() <= records(photos, "killed.json").items()
    assert (photos / "killed.json").read_bytes() == (photos / "whole.json").read_bytes()
    assert not list(photos.rglob("*.part"))


@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ends_in_order_when_asked_to(photos: Path, number: signal.Signals) -> None:
    process = started(photos, "out.json", "--workers", "1")
    wait_for(photos, "out.json", 1)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # As a terminal does for Ctrl-C.
    else:
        process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    report = json.loads(output)
    assert report["done_now"] == len(records(photos, "out.json")) >= 1
    assert errors.decode().splitlines() == ["stopping after the photographs in progress (again to stop at once)"]
    if report["output"] is None:  # Else the photographs were done before the signal came.
        assert not (photos / "out.json").exists()
    assert process.returncode == 128 + number
    assert annotate(photos, "out.json")["done_before"] == report["done_now"]


@pytest.mark.thorough
def test_one_run_at_a_time_and_asked_twice_it_stops_at_once(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLOW", "rocket.jpg")  # The last one.
    process = started(photos, "out.json", "--workers", "1", prompts="mine.py:middle")
    wait_for(photos, "out.json", 3)
    arguments = ("annotate", "photos", "--prompts", "mine.py:middle", "--output", "out.json", *QUICK)
    assert "another run uses out.json.work" in refused(edge_sam(*arguments, cwd=photos))
    os.killpg(process.pid, signal.SIGINT)
    assert process.stderr is not None
    assert process.stderr.readline().startswith(b"stopping")
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    monkeypatch.delenv("SLOW")
    assert annotate(photos, "out.json", prompts="mine.py:middle")["done_before"] == 3


def test_a_list_that_climbs_stays_in_the_data_set(photos: Path) -> None:
    (photos / "lists").mkdir()
    (photos / "lists" / "l.txt").write_text("../photos/rocket.jpg\n")
    (photos / "boxes.jsonl").write_text(
        '{"image": "../photos/rocket.jpg", "box": [9, 9, 99, 99]}\n{"image": "x", "box": [1, 1, 2, 2]}'
    )
    arguments = ("lists/l.txt", "--prompts", "boxes.jsonl", "--output", "out/folder", *QUICK)
    run = edge_sam("annotate", *arguments, cwd=photos)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["prompts"] == 1
    assert run.stderr.strip() == "ignoring 1 photographs of boxes.jsonl that are not in lists/l.txt"
    written = {str(file.relative_to(photos / "out")) for file in photos.rglob("rocket*.json")}
    assert written == {"folder/photos/rocket.json"}


@pytest.mark.thorough
def test_goes_on_with_what_changed_only(photos: Path) -> None:
    annotate(photos, "out.json")
    assert annotate(photos, "out.json")["done_now"] == 0
    shutil.copy(PHOTOGRAPHS / "coffee.png", photos / "photos" / "new.png")
    report = annotate(photos, "out.json")
    assert (report["done_now"], report["done_before"]) == (1, 4)  # Without prompts, but in the data set.
    with (photos / "boxes.csv").open("a") as file:
        file.write("\nnew.png,76,18,478,390,a\n")
    report = annotate(photos, "out.json")
    assert (report["done_now"], report["done_before"]) == (1, 4)
    os.utime(photos / "photos" / "rocket.jpg")
    assert annotate(photos, "out.json")["done_now"] == 1
    annotate(photos, "fresh.json")
    assert (photos / "out.json").read_bytes() == (photos / "fresh.json").read_bytes()


@pytest.mark.thorough
def test_other_settings_are_not_mixed_in(photos: Path) -> None:
    annotate(photos, "out.json")
    before = (photos / "out.json").read_bytes()
    arguments = ("annotate", "photos", "--prompts", "boxes.csv", "--output", "out.json", "--border", "1", *QUICK)
    message = refused(edge_sam(*arguments, cwd=photos))
    assert "begun with other settings (limits" in message
    assert "--restart" in message
    assert (photos / "out.json").read_bytes() == before
    report = annotate(photos, "out.json", "--border", "1", "--restart")
    assert report["done_now"] == 4
    assert report["rejected"]["border"] + report["annotations"] <= 8


@pytest.mark.thorough
def test_a_damaged_photograph_is_recorded_and_skipped(photos: Path) -> None:
    (photos / "photos" / "b.jpg").write_bytes((PHOTOGRAPHS / "rocket.jpg").read_bytes()[:5000])
    report = annotate(photos, "out.json")
    (skipped,) = report["skipped"]
    assert skipped["name"] == "b.jpg"
    assert "truncated" in skipped["reason"]
    assert report["done_now"] == 5
    assert len(json.loads((photos / "out.json").read_text())["images"]) == 4
    assert annotate(photos, "out.json")["done_now"] == 0
    shutil.copy(PHOTOGRAPHS / "rocket.jpg", photos / "photos" / "b.jpg")
    report = annotate(photos, "out.json")
    assert (report["done_now"], report["skipped"]) == (1, [])


@pytest.mark.thorough
def test_a_photograph_that_kills_its_worker_does_not_end_the_run(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILLED", "rocket.jpg")
    report = annotate(photos, "out.json", "--workers", "2", prompts="mine.py:middle", code=1)
    (failed,) = report["failed"]
    assert failed["name"] == "rocket.jpg"
    assert "died" in failed["reason"]
    assert len(json.loads((photos / "out.json").read_text())["images"]) == 3
    monkeypatch.delenv("KILLED")
    report = annotate(photos, "out.json", prompts="mine.py:middle")
    assert (report["done_now"], report["failed"]) == (1, [])
    data = json.loads((photos / "out.json").read_text())
    assert [category["name"] for category in data["categories"]] == ["half", "object"]


def test_everything_mode_and_a_valid_region(photos: Path) -> None:
    region = np.zeros((400, 600), np.uint8)
    region[:, :300] = 255
    (photos / "regions" / "a").mkdir(parents=True)
    cv2.imwrite(str(photos / "regions" / "a" / "coffee.png"), region)
    report = annotate(
        photos, "out.json", "--points-per-side", "4", "--valid-mask", "regions", "--no-square", prompts="grid"
    )
    assert report["rejected"].keys() <= {"predicted_iou", "stability", "duplicate", "empty"}
    masks = report["annotations"] + sum(report["rejected"].values())
    assert masks == 3 * report["prompts"]
    data = COCO(photos / "out.json")
    (coffee,) = (image["id"] for image in data.dataset["images"] if image["file_name"] == "a/coffee.png")
    annotations = data.loadAnns(data.getAnnIds(imgIds=coffee))
    assert annotations
    for annotation in annotations:
        assert not data.annToMask(annotation)[region == 0].any()


def test_frames_of_a_video_are_written_under_their_names(photos: Path) -> None:
    writer = cv2.VideoWriter(str(photos / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (600, 400))
    for _ in range(3):
        writer.write(read_pixels(PHOTOGRAPHS / "coffee.png", cv2.IMREAD_COLOR))
    writer.release()
    arguments = ("--every", "2", "--save-frames", "frames", "--prompts", "mine.py:middle", "--output", "out.json")
    run = edge_sam("annotate", "clip.avi", *arguments, *QUICK, cwd=photos)
    assert run.returncode == 0, run.stderr
    images = json.loads((photos / "out.json").read_text())["images"]
    assert [image["file_name"] for image in images] == ["clip/000000.png", "clip/000002.png"]
    for image in images:
        assert read_pixels(photos / "frames" / image["file_name"]).shape == (image["height"], image["width"], 3)


def test_talks_to_people(photos: Path) -> None:
    run = edge_sam("annotate", "photos/rocket.jpg", "--prompts", "mine.py:middle", "--output", "o.json", cwd=photos)
    assert run.returncode == 0, run.stderr
    assert "1 photographs now, 0 before, of 1" in run.stdout
    assert "data set: o.json" in run.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("absent",), "no such folder, file or glob: absent"),
        (("photos", "--prompts", "nothing"), "or an entry point of edge_sam.prompts"),
        (("photos", "--prompts", "mine.py:absent"), "mine.py:absent: AttributeError"),
        (("photos", "--prompts", "absent.csv"), "cannot read absent.csv"),
        (("photos", "--pred-iou-thresh", "2"), "pred_iou_thresh is 2"),
        (("photos", "--points-per-side", "0"), "points_per_side is 0"),
        (("twins", "--format", "sa1b"), "a.jpg and a.png differ only in their suffix"),
        (("photos", "--workers", "0"), "workers is 0; it must be 1 to 256"),
        (("photos", "--engine", "abacus"), 'Invalid value "abacus" for --engine'),
        (("photos", "--format", "voc"), 'Invalid value "voc" for --format'),
        (("photos", "--long-side", "1000"), "long_side is 1000"),
        (("photos", "--valid-mask", "absent.png"), "no such valid region"),
        (("photos", "--output", "."), ". is not a valid name for a data set"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments: tuple[str, ...], message: str, photos: Path) -> None:
    (photos / "twins").mkdir()
    for name in ("a.jpg", "a.png"):
        shutil.copy(PHOTOGRAPHS / "coffee.png", photos / "twins" / name)
    output = () if "--output" in arguments else ("--output", "out.json")
    assert message in refused(run_here("annotate", *output, *arguments, cwd=photos))
    assert not (photos / "out.json").exists()


def test_what_is_not_ours_is_not_replaced(photos: Path) -> None:
    (photos / "out.json").write_text("mine")
    run = edge_sam("annotate", "photos", "--prompts", "boxes.csv", "--output", "out.json", cwd=photos)
    assert "to resume from does not" in refused(run)
    assert (photos / "out.json").read_text() == "mine"
    (photos / "photos.work").mkdir()  # As a run that ended early leaves it.
    message = refused(edge_sam("annotate", "boxes.txt", "--output", "photos", cwd=photos))
    assert "photos would be replaced, but edge-sam did not write photos/" in message
    assert (photos / "photos" / "rocket.jpg").is_file()
