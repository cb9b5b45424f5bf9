"""Where photographs and prompts come from."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import PHOTOGRAPHS, read_rgb
from scenes import SIZE, coco_instances

from edge_sam.annotate.functions import find_function
from edge_sam.annotate.plan import plan
from edge_sam.annotate.prompt_files import read_prompts
from edge_sam.annotate.records import GivenPrompt
from edge_sam.annotate.sources import Item, Reader, open_source
from edge_sam.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two photographs, one of them below; and what is none."""
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / ".hidden").mkdir()
    shutil.copy(PHOTOGRAPHS / "rocket.jpg", tmp_path / "in" / "deep" / "rocket.JPG")
    shutil.copy(PHOTOGRAPHS / "rocket.jpg", tmp_path / "in" / ".hidden" / "rocket.jpg")
    shutil.copy(PHOTOGRAPHS / "coffee.png", tmp_path / "in")
    lines = ("\ufeffdeep/rocket.JPG", "", "./coffee.png", "coffee.png", "deep/../absent.jpg", "")
    (tmp_path / "in" / "notes.txt").write_text("\r\n".join(lines), encoding="utf-8")
    (tmp_path / "in" / "._coffee.png").write_bytes(b"")
    return tmp_path / "in"


def names(items: list[Item]) -> list[str]:
    return [item.name for item in items]


def test_a_folder_with_those_below_it(folder: Path) -> None:
    items = open_source(str(folder))
    assert names(items) == ["coffee.png", "deep/rocket.JPG"]
    assert (Reader().read(items[0]) == read_rgb(PHOTOGRAPHS / "coffee.png")).all()


def test_a_glob_a_list_and_a_photograph(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert names(open_source(f"{folder}/*/r*.JPG")) == ["deep/rocket.JPG"]
    assert names(open_source(f"{folder}/**/*.png")) == ["coffee.png"]
    # Twice in the list is once in the data set; what is not there is found out when its turn comes.
    assert names(open_source(str(folder / "notes.txt"))) == ["absent.jpg", "coffee.png", "deep/rocket.JPG"]
    assert names(open_source(str(folder / "coffee.png"))) == ["coffee.png"]
    monkeypatch.chdir(folder)
    assert names(open_source("*.png")) == ["coffee.png"]


def test_frames_of_a_video(tmp_path: Path) -> None:
    file = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
    for level in range(0, 200, 20):
        writer.write(np.full((120, 160, 3), (0, level, 255), np.uint8))
    writer.release()
    items = open_source(str(file), every=3)
    assert names(items) == ["clip/000000.png", "clip/000003.png", "clip/000006.png", "clip/000009.png"]
    odd = file.rename(tmp_path / "...avi")  # Its stem is the folder above.
    assert names(open_source(str(odd)))[0] == "000000.png"
    odd.rename(file)
    reader = Reader()
    for item in [items[1], items[3], items[0], items[2]]:  # Forwards, and back again.
        assert item.frame is not None
        pixels = reader.read(item)
        np.testing.assert_allclose(pixels[60, 80], [255, 20 * item.frame, 0], atol=4)
    with pytest.raises(InputError, match="frame 10 cannot be read"):
        reader.read(Item("", str(file), 10))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("absent", "no such folder, file or glob"),
        ("*.webp", "holds no photographs"),
        (".hidden/../deep/../empty", "holds no photographs"),
        ("fake.mp4", "not a video"),
        ("table.csv", "neither a photograph, nor a video, nor a list"),
        ("twice.txt", "would both be called x.png"),
    ],
)
def test_sources_that_are_refused(source: str, message: str, folder: Path) -> None:
    (folder / "empty").mkdir()
    (folder / "fake.mp4").write_bytes(b"no frames")
    (folder / "table.csv").write_text("")
    (folder / "twice.txt").write_text("/x.png\nx.png\n")
    with pytest.raises(InputError, match=message):
        open_source(str(folder / source))


def test_prompts_from_coco(tmp_path: Path) -> None:
    root = coco_instances(tmp_path, categories=[{"id": 7, "name": "cup"}, {"id": 2, "name": "spoon"}])
    file = root / "annotations" / "instances_val2017.json"
    document = json.loads(file.read_text())
    for annotation, category in zip(document["annotations"], (7, 2, 7), strict=True):
        annotation |= {"bbox": [10, 20, 30, 40], "category_id": category}
    file.write_text(json.dumps(document))
    table = read_prompts(file)
    assert table.categories == {"cup": 7, "spoon": 2}
    # The crowd is left out. The photograph is found wherever it lies.
    assert table.find("some/where/cup.png") == "cup.png"
    assert table["cup.png"] == (
        GivenPrompt(box=(10, 20, 40, 60), category="cup"),
        GivenPrompt(box=(10, 20, 40, 60), category="spoon"),
    )
    assert table.find("other.png") is None
    assert SIZE == (400, 600)


def test_prompts_from_csv_and_json_lines(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("\ufeffimage,x,y,category\na/1.png,3,4,dog\nb/1.png,5,6.5,\n", encoding="utf-8")
    table = read_prompts(tmp_path / "p.csv")
    assert table["a/1.png"] == (GivenPrompt(points=((3, 4),), category="dog"),)
    assert table["b/1.png"] == (GivenPrompt(points=((5, 6.5),)),)
    assert table.find("1.png") is None  # Two are called so.
    lines = [{"image": "1.png", "box": [1, 2, 3, 4]}, {"image": "1.png", "points": [[1, 2], [3, 4]], "labels": [1, 0]}]
    (tmp_path / "p.jsonl").write_text("\ufeff" + "\r\n".join(map(json.dumps, lines)), encoding="utf-8")
    table = read_prompts(tmp_path / "p.jsonl")
    assert table.find("x/1.png") == "1.png"
    assert table["1.png"] == (
        GivenPrompt(box=(1, 2, 3, 4)),
        GivenPrompt(points=((1, 2), (3, 4)), labels=(1, 0)),
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.json", '[{"image_id": 1, "bbox": [0, 0, 1, 1]}]', "a list of results, which does not name photographs"),
        ("p.json", '{"images": [], "annotations": [{"image_id": 1, "bbox": [0, 0, 1, 1]}]}', "which it does not list"),
        ("p.json", "{}", "not in the form of its suffix"),
        ("p.csv", "image,left\na,1\n", "needs a header with image and x0,y0,x1,y1 or x,y"),
        ("p.csv", "image,x,y\na,1,one\n", "line 2: x, y are not numbers"),
        ("p.csv", "image,x,y\na,1,nan\n", "line 2: x, y are not numbers"),
        ("p.csv", "x,y,image\n1,2\n", "line 2: no image"),
        ("p.jsonl", '{"image": "a"}', "line 1: neither box nor points"),
        ("p.jsonl", '{"image": "a", "box": [1]}', "line 1: "),
        ("p.xml", "", "prompts come from"),
    ],
)
def test_prompts_that_are_refused(name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        read_prompts(tmp_path / name)


def test_prompts_for_other_photographs_are_noticed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("image,x,y\nelsewhere.png,3,4\n")
    with pytest.raises(InputError, match=r"on none of the photographs; the first photograph is called coffee\.png"):
        plan(open_source(str(folder)), read_prompts(tmp_path / "p.csv"), None)


def test_prompts_that_may_be_for_two_photographs_are_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "coffee.png", folder / "deep")
    (tmp_path / "p.csv").write_text("image,x,y\nelsewhere/coffee.png,3,4\n")
    with pytest.raises(InputError, match=r"may be for coffee\.png or deep/coffee\.png"):
        plan(open_source(str(folder)), read_prompts(tmp_path / "p.csv"), None)
    for name in ("coffee.png", "deep/coffee.png"):  # The whole name of one is not said of the other.
        (tmp_path / "p.csv").write_text(f"image,x,y\n{name},3,4\n")
        tasks = plan(open_source(str(folder)), read_prompts(tmp_path / "p.csv"), None)
        assert [task.item.name for task in tasks if task.prompts] == [name]


def test_functions_come_from_entry_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "detector-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: detector\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[edge_sam.prompts]\nmy-detector = detecting:ask\n")
    (tmp_path / "detecting.py").write_text("number = 1\ndef ask(image, name):\n    return []\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    name, function = find_function("my-detector")
    assert (name, function.__module__) == ("detecting:ask", "detecting")
    with pytest.raises(InputError, match=r"known: .*my-detector"):
        find_function("another")
    with pytest.raises(InputError, match="is not a function"):
        find_function("detecting:number")
    del sys.modules["detecting"]
