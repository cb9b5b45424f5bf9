"""Where photographs and prompts come from."""

from __future__ import annotations

import json
import shutil
import sys
import unicodedata
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import PHOTOGRAPHS, read_rgb
from scenes import SIZE, coco_instances

from edge_sam.annotate.functions import find_function
from edge_sam.annotate.prompt_files import read_prompts
from edge_sam.annotate.records import GivenPrompt
from edge_sam.annotate.sources import Item, Reader, open_source
from edge_sam.annotate.tasks import make_tasks
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
        ("fake.mp4", "cannot read it as a video"),
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
        ("p.json", '[{"image_id": 1, "bbox": [0, 0, 1, 1]}]', "a list of results without names of photographs"),
        ("p.json", '{"images": [], "annotations": [{"image_id": 1, "bbox": [0, 0, 1, 1]}]}', "the file does not list"),
        ("p.json", "{}", "is not COCO instances JSON"),
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
    with pytest.raises(InputError, match=r"no photograph has a prompt; the first photograph is coffee\.png"):
        make_tasks(open_source(str(folder)), read_prompts(tmp_path / "p.csv"), None)


def test_prompts_that_may_be_for_two_photographs_are_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "coffee.png", folder / "deep")
    (tmp_path / "p.csv").write_text("image,x,y\nelsewhere/coffee.png,3,4\n")
    with pytest.raises(InputError, match=r"may belong to coffee\.png or deep/coffee\.png"):
        make_tasks(open_source(str(folder)), read_prompts(tmp_path / "p.csv"), None)
    for name in ("coffee.png", "deep/coffee.png"):  # The whole name of one is not said of the other.
        (tmp_path / "p.csv").write_text(f"image,x,y\n{name},3,4\n")
        tasks = make_tasks(open_source(str(folder)), read_prompts(tmp_path / "p.csv"), None)
        assert [task.item.name for task in tasks if task.prompts] == [name]


def coco_prompts(path: Path, *images: object, annotations: object, **more: object) -> Path:
    path.write_text(json.dumps({"images": images, "annotations": annotations, **more}))
    return path


BOXED: dict[str, object] = {"id": 5, "image_id": 1, "bbox": [1, 2, 3, 4]}


def test_a_prompt_file_without_a_prompt_for_any_photograph_is_refused(folder: Path, tmp_path: Path) -> None:
    """Also where it lists the photographs: the data set would be empty."""
    here, there = {"id": 1, "file_name": "coffee.png"}, {"id": 2, "file_name": "elsewhere.png"}
    file = coco_prompts(tmp_path / "p.json", here, there, annotations=[BOXED | {"image_id": 2}])
    with pytest.raises(InputError, match=r"first photograph is coffee\.png, but the first prompt is on elsewhere\.png"):
        make_tasks(open_source(str(folder)), read_prompts(file), None)
    for none in ([], [BOXED | {"iscrowd": 1}]):
        with pytest.raises(InputError, match=r"p\.json has no boxes or points"):
            read_prompts(coco_prompts(tmp_path / "p.json", here, annotations=none))


def test_photographs_are_known_by_names_of_other_systems(tmp_path: Path) -> None:
    """Decomposed, as macOS writes them, and with backslashes; the valid regions too."""
    there, written = (unicodedata.normalize(form, "Übung/café.png") for form in ("NFD", "NFC"))
    for place in (tmp_path / "in" / there, tmp_path / "regions" / written):
        place.parent.mkdir(parents=True)
        shutil.copy(PHOTOGRAPHS / "coffee.png", place)
    (tmp_path / "p.csv").write_text("image,x,y\n" + written.replace("/", "\\") + ",3,4\n", encoding="utf-8")
    (task,) = make_tasks(open_source(str(tmp_path / "in")), read_prompts(tmp_path / "p.csv"), tmp_path / "regions")
    assert task.item.name == there
    assert len(task.prompts) == 1
    assert task.region == str(tmp_path / "regions" / written)
    (tmp_path / "list.txt").write_text(f"in/{written}\r\n".replace("/", "\\"), encoding="utf-16")
    assert open_source(str(tmp_path / "list.txt")) == [Item(f"in/{written}", str(tmp_path / "in" / there))]


def test_valid_regions_for_other_photographs_are_noticed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "regions" / "deep").mkdir(parents=True)
    items = open_source(str(folder))
    for name in ("deep/rocket.jpg", "deep/rocket.png", "coffee.txt"):
        (tmp_path / "regions" / name).write_bytes(b"")
    regions = [task.region for task in make_tasks(items, None, tmp_path / "regions")]
    assert regions == [None, str(tmp_path / "regions" / "deep" / "rocket.png")]
    with pytest.raises(InputError, match=r"no picture in .*regions is named after a photograph, such as coffee\.png"):
        make_tasks(items[:1], None, tmp_path / "regions")


def test_pictures_that_are_left_out_are_counted(folder: Path) -> None:
    for name in ("a.xcf", "a.qoi", "deep/b.QOI", "c.svg", "clip.mp4", "notes.md", ".hidden.qoi"):
        (folder / name).write_bytes(b"")
    with pytest.warns(UserWarning, match=r"in: 4 files are left out: 2 \.qoi, 1 \.mp4, 1 \.svg$"):
        assert len(open_source(str(folder))) == 2
    with pytest.warns(UserWarning, match=r"1 file is left out: 1 \.svg$"):
        assert names(open_source(f"{folder}/c[.o]*")) == ["coffee.png"]
    with pytest.raises(InputError, match=r"holds no photographs; 1 file is left out: 1 \.qoi$"):
        open_source(f"{folder}/a*")


def test_coco_prompts_may_have_texts_for_ids_and_lack_boxes(tmp_path: Path) -> None:
    image, category = {"id": "one", "file_name": "a.png"}, {"id": "c", "name": "cup"}
    whole: dict[str, object] = {"id": "x", "image_id": "one", "bbox": [1, 2, 3, 4], "category_id": "c"}
    without = [whole | {"id": "y", "bbox": []}, whole | {"id": "z", "bbox": None}]
    file = coco_prompts(tmp_path / "p.json", image, annotations=[whole, *without], categories=[category])
    with pytest.warns(UserWarning, match=r"p\.json: 2 annotations without a bbox left out \(id 'y', 'z'\)"):
        table = read_prompts(file)
    assert table["a.png"] == (GivenPrompt(box=(1, 2, 4, 6), category="cup"),)
    assert table.categories == {"cup": "c"}


def test_tables_of_other_programs_are_read(tmp_path: Path) -> None:
    text = 'image, x, y, category\r\n"a, b.png", 3, 4, dog\r\n'
    for encoding in ("utf-8-sig", "utf-16"):
        (tmp_path / "p.csv").write_text(text, encoding=encoding)
        assert read_prompts(tmp_path / "p.csv")["a, b.png"] == (GivenPrompt(points=((3, 4),), category="dog"),)


IMAGE = '"images": [{"id": 1, "file_name": "a"}]'


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.json", '{"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}], "annotations": []}', "id 1"),
        (
            "p.json",
            f'{{{IMAGE}, "annotations": [], "categories": [{{"id": 1, "name": "a"}}, {{"id": 1, "name": "b"}}]}}',
            "id 1",
        ),
        ("p.json", f'{{{IMAGE}, "annotations": [{{"id": 5, "image_id": 1, "bbox": [0, 0, NaN, 1]}}]}}', "annotation 5"),
        (
            "p.json",
            f'{{{IMAGE}, "annotations": [{{"id": 5, "image_id": 1, "bbox": [0, 0, 1e999, 1]}}]}}',
            "annotation 5",
        ),
        (
            "p.json",
            f'{{{IMAGE}, "annotations": [{{"id": 5, "image_id": 1, "bbox": [1e308, 0, 1e308, 1]}}]}}',
            "annotation 5",
        ),
        ("p.json", f'{{{IMAGE}, "annotations": [{{"id": 5, "image_id": 1, "bbox": [0, 0, 1]}}]}}', "annotation 5"),
        ("p.json", f'{{{IMAGE}, "annotations": [{{"id": 5, "image_id": 1, "bbox": "0011"}}]}}', "annotation 5"),
        ("p.json", "[" * 100_000, "is not COCO"),
        ("p.json", "", "is empty"),
        ("p.csv", "\ufeff", "is empty"),
        ("p.csv", "image,x,y\n\0,1,2\n", "null bytes"),
        ("p.csv", 'image,x,y\n"a,1,2\n' + "a,1,2\n" * 50_000, "is not CSV"),
        ("p.csv", "image,x,y\na,1,\n", "line 2: x, y are not numbers"),
        ("p.csv", "image,x,y\n", "has no boxes or points"),
        ("p.csv", "image,x,y\n\udcff,1,2\n", "is not UTF-8"),
        ("p.jsonl", '{"image": "a", "box": [0, 0, 1, NaN]}', "line 1: "),
        ("p.jsonl", '{"image": "a", "x": ' + "[" * 100_000 + "]" * 100_000 + "}", "line 1: "),
        ("p.jsonl", '\n\n{"image": "\udcff", "box": [0, 0, 1, 1]}', "line 3: "),
        ("p.jsonl", '{"image": "a", "points": []}', "line 1: neither box nor points"),
        ("p.py", "def f(): ...", r"a function in it, .*p\.py:NAME"),
    ],
    ids=lambda text: ascii(text[:30]),
)
def test_broken_prompts_are_told_in_one_line(name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=message) as caught:
        read_prompts(tmp_path / name)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("line", [".", "..", "/", "a/.."])
def test_a_list_that_names_no_file_is_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text(line)
    with pytest.raises(InputError, match="which is not a file"):
        open_source(str(tmp_path / "l.txt"))


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
