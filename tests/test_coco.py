"""COCO files that break readers: each is read as pycocotools means it, or refused in one line."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scenes
from conftest import iou
from pycocotools import mask as coco
from pycocotools.coco import COCO
from scenes import CUP, SIZE, SPOON
from test_cli import edge_sam, refused

from edge_sam.errors import InputError
from edge_sam.evaluation.datasets import open_dataset
from edge_sam.imaging.decoding import MAX_PIXELS
from edge_sam.imaging.masks import decode_rle, encode_rle, run_lengths, uncompress_rle

PIXELS = SIZE[0] * SIZE[1]
FILE = "annotations/instances_val2017.json"


def dataset(root: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The cup and the spoon, after a change to their JSON."""
    file = scenes.coco_instances(root) / FILE
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))
    return root


def with_segmentation(root: Path, segmentation: object, size: tuple[int, int] = SIZE) -> Path:
    """Annotation 12 beside a whole one."""

    def change(document: dict[str, Any]) -> None:
        document["images"][0] |= {"height": size[0], "width": size[1]}
        document["annotations"] = [{"id": 12, "image_id": 7, "category_id": 1, "segmentation": segmentation}]

    return dataset(root, change)


def rle(counts: object, size: object = SIZE) -> dict[str, object]:
    return {"size": size, "counts": counts}


def zigzag(corners: int) -> list[float]:
    """A polygon that crosses the image at every corner."""
    return [value for i in range(corners) for value in (600 * (i % 2), 400 * i / corners)]


CUP_TEXT = encode_rle(CUP)["counts"]
BROKEN = {
    "too short": rle([10, 10]),
    "too long": rle([PIXELS, 1]),
    "negative": rle([-1, PIXELS + 1]),
    "sum overflows 64 bits": rle([2**62, 2**62, 2**62, 2**62 + PIXELS]),
    "beyond 64 bits": rle([2**70]),
    "fractions": rle([0.5, PIXELS - 0.5]),
    "no counts": rle([]),
    "no text": rle(""),
    "cut text": rle(CUP_TEXT[:-1]),
    "longer text": rle(CUP_TEXT + "01"),
    "text that goes on": rle(CUP_TEXT + "o"),
    "long number": rle("o" * 50 + "0"),
    "not of the alphabet": rle("~~~"),
    "not ASCII": rle("ÿ"),
    "turned": rle([PIXELS], SIZE[::-1]),
    "of another size": rle([100], (10, 10)),
    "of negative size": rle([PIXELS], (-400, -600)),
    "three sizes": rle([PIXELS], (400, 600, 1)),
    "size only": {"size": SIZE},
    "a box": [[10, 10, 30, 40]],
    "a point": [[10, 10]],
    "seven numbers": [[1, 1, 9, 1, 9, 9, 1]],
    "one of two broken": [[1, 1, 9, 1, 9, 9], [1, 1]],
    "far off": [[0, 0, 1e9, 0, 1e9, 1e9]],
    "far off the other way": [[0, 0, -1e8, 0, 5, 5]],
    "beyond 64-bit floats": [[0, 0, 10**400, 0, 5, 5]],
    "infinite": [[0, 0, math.inf, 0, 5, 5]],
    "no number": [[0, 0, math.nan, 5, 5, 5]],
    "endless outline": [zigzag(20_000)],
    "endless outline of many": [zigzag(500)] * 40,
    "not nested": [1, 1, 9, 1, 9, 9],
    "nested too far": [[[1, 1], [9, 1], [9, 9]]],
    "text": "polygon",
    "texts": [["1", "1", "9", "1", "9", "9"]],
    "nothing in it": [[None] * 6],
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_segmentation_is_refused_by_its_id(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^annotation 12 of .*instances_val2017\.json: [^\n]*$"):
        open_dataset(with_segmentation(tmp_path, BROKEN[name]))


def test_the_command_tells_it_in_one_line(tmp_path: Path) -> None:
    root = with_segmentation(tmp_path, BROKEN["far off"])
    assert "annotation 12 of" in refused(edge_sam("eval", "mobile-sam", "--dataset", str(root), cwd=tmp_path))


def test_pycocotools_and_we_fill_alike(tmp_path: Path) -> None:
    """Polygons over the edge, in parts, with empty parts; runs of no length; many parts, which it takes minutes for."""
    many = [[x, y, x + 9.0, y, x, y + 9.5] for x in range(0, 600, 12) for y in range(0, 400, 12)]
    whole: list[object] = [
        [scenes.polygon(CUP)],
        [scenes.polygon(CUP), [], scenes.polygon(SPOON)],
        [[-300.5, -20, 700, 30.25, 1100, 700, -1, 350]],
        many,
        encode_rle(CUP),
        scenes.uncompressed(CUP),
        rle([5, 0, 10, 3, 0, PIXELS - 18]),
        rle([0, PIXELS]),
    ]

    def change(document: dict[str, Any]) -> None:
        document["annotations"] = [
            {"id": i, "image_id": 7, "category_id": 1, "segmentation": one} for i, one in enumerate(whole, 1)
        ]

    root = dataset(tmp_path, change)
    _, targets = open_dataset(root).samples[0].load()
    theirs = COCO(root / FILE)
    for target in targets:
        (annotation,) = theirs.loadAnns(int(target.name))
        if isinstance(annotation["segmentation"], list):  # It takes the first part's length for that of all.
            annotation["segmentation"] = [part for part in annotation["segmentation"] if part]
        np.testing.assert_array_equal(target.truth, theirs.annToMask(annotation).astype(bool))


def test_runs_of_any_mask_come_back() -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        mask = random.random(random.integers(1, 50, 2)) < random.random()
        packed = encode_rle(mask)
        np.testing.assert_array_equal(decode_rle(packed), mask)
        np.testing.assert_array_equal(decode_rle(uncompress_rle(packed)), mask)
        assert coco.area(packed) == run_lengths(packed)[1::2].sum()


@pytest.mark.parametrize("size", [(0, 600), (-400, -600), (2**20, 2**20), (MAX_PIXELS, 2)])
def test_an_image_of_an_impossible_size_is_refused_before_its_masks_are_made(
    size: tuple[int, int], tmp_path: Path
) -> None:
    polygons = [[0, 0, 5, 0, 5, 5]]
    with pytest.raises(InputError, match=r"image 7 of .* expected 1 to"):
        open_dataset(with_segmentation(tmp_path, polygons, size))


def test_an_image_of_another_size_than_said_is_refused_before_its_masks_are_made(tmp_path: Path) -> None:
    (sample,) = open_dataset(with_segmentation(tmp_path, [[0, 0, 5, 0, 5, 5]], (8_000, 16_000))).samples
    with pytest.raises(InputError, match=r"is 16000×8000, its image .* is 600×400"):
        sample.load()


@pytest.mark.parametrize("empty", [[], None, [[]], ...])
def test_annotations_without_a_mask_are_left_out_and_named(empty: object, tmp_path: Path) -> None:
    def change(document: dict[str, Any]) -> None:
        for number in range(50, 58):
            without = {"id": number, "image_id": 7, "category_id": 1}
            document["annotations"].insert(0, without if empty is ... else without | {"segmentation": empty})

    with pytest.warns(UserWarning, match=r"json: 8 annotations without a mask left out \(id 57, 56, 55, 54, 53, …\)"):
        data = open_dataset(dataset(tmp_path, change))
    assert data.left_out == [57, 56, 55, 54, 53, 52, 51, 50]
    assert [target.name for target in data.samples[0].load()[1]] == ["1", "2"]


def test_what_was_left_out_is_in_the_report(tmp_path: Path) -> None:
    root = dataset(tmp_path, lambda document: document["annotations"][0].update(segmentation=[]))
    arguments = ("--prompts", "box", "--long-side", "256", "--worst", "0", "--json")
    run = edge_sam("eval", "mobile-sam", "--dataset", str(root), *arguments, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert report["dataset"]["left_out"] == [1]
    assert report["protocols"][0]["scores"]["iou"]["objects"] == 1
    assert run.stderr.count("1 annotation without a mask left out (id 1)") == 1


def no_masks(document: dict[str, Any]) -> None:
    for annotation in document["annotations"]:
        annotation["segmentation"] = []


def crowds(document: dict[str, Any]) -> None:
    for annotation in document["annotations"]:
        annotation["iscrowd"] = True


def two_images(document: dict[str, Any]) -> None:
    document["images"].append(document["images"][0] | {"file_name": "other.png"})


def numbers_for_texts(document: dict[str, Any]) -> None:
    for annotation in document["annotations"]:
        annotation["image_id"] = "7"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (no_masks, "no annotation of .*json has a mask"),
        (crowds, r"every annotation of .*json is a crowd \(iscrowd 1\)"),
        (two_images, "has two images with the id 7"),
        (numbers_for_texts, "the first is on image '7', the ids of the images are 7"),
    ],
)
def test_files_that_are_refused(change: Callable[[dict[str, Any]], object], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        open_dataset(dataset(tmp_path, change))


def test_an_image_with_crowds_only_is_not_looked_at(tmp_path: Path) -> None:
    def change(document: dict[str, Any]) -> None:
        document["images"].append(document["images"][0] | {"id": 8, "file_name": "crowd.png"})
        document["annotations"][2]["image_id"] = 8

    assert [sample.name for sample in open_dataset(dataset(tmp_path, change)).samples] == ["cup.png"]


@pytest.mark.parametrize("kind", [str, float])
def test_ids_may_be_texts_and_fractions(kind: type, tmp_path: Path) -> None:
    def change(document: dict[str, Any]) -> None:
        document["images"][0]["id"] = kind(7)
        for annotation in document["annotations"]:
            annotation |= {name: kind(annotation[name]) for name in ("id", "image_id", "category_id")}

    (sample,) = open_dataset(dataset(tmp_path, change)).samples
    _, (cup, spoon) = sample.load()
    assert (cup.name, spoon.name) == (str(kind(1)), str(kind(2)))
    assert iou(cup.truth, CUP) > 0.97
    assert not cup.valid[115, 440]  # The crowd of its category.


def test_two_annotations_may_share_an_id(tmp_path: Path) -> None:
    """It only names them; files that were merged have such."""
    root = dataset(tmp_path, lambda document: document["annotations"][1].update(id=1))
    assert [target.name for target in open_dataset(root).samples[0].load()[1]] == ["1", "1"]


@pytest.mark.parametrize(
    ("written", "there"),
    [
        ("sub\\cup.png", "sub/cup.png"),
        (".\\sub\\cup.png", "sub/cup.png"),
        (unicodedata.normalize("NFC", "Übung/café.png"), unicodedata.normalize("NFD", "Übung/café.png")),
        (unicodedata.normalize("NFD", "Übung/café.png"), unicodedata.normalize("NFC", "Übung/café.png")),
    ],
)
def test_images_are_found_by_names_of_other_systems(written: str, there: str, tmp_path: Path) -> None:
    root = dataset(tmp_path, lambda document: document["images"][0].update(file_name=written))
    (root / "val2017" / there).parent.mkdir()
    (root / "val2017" / "cup.png").rename(root / "val2017" / there)
    (sample,) = open_dataset(root).samples
    assert sample.image == root / "val2017" / there
    assert len(sample.load()[1]) == 2


@pytest.mark.parametrize("name", ["sub\\absent.png", "a" * 5000 + ".png", "a\0b.png", "é" * 300 + ".png", ""])
def test_an_image_that_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    root = dataset(tmp_path, lambda document: document["images"][0].update(file_name=name))
    with pytest.raises(InputError, match="is in none of"):
        open_dataset(root)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_files_of_other_editors_are_read(encoding: str, tmp_path: Path) -> None:
    file = scenes.coco_instances(tmp_path) / FILE
    file.write_text(file.read_text().replace(", ", ",\r\n"), encoding=encoding)
    assert len(open_dataset(tmp_path).samples[0].load()[1]) == 2


def test_what_python_writes_beyond_json_is_read(tmp_path: Path) -> None:
    """An area that pandas could not compute, and a name that is not UTF-8, which annotate writes as an escape."""

    def change(document: dict[str, Any]) -> None:
        document["annotations"][0]["area"] = math.nan
        document["images"][0]["file_name"] = "cup\udcff.png"

    root = dataset(tmp_path, change)
    (root / "val2017" / "cup.png").rename(root / "val2017" / "cup\udcff.png")
    assert len(open_dataset(root).samples[0].load()[1]) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \r\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"\xff\xfe{", "damaged UTF-16"),
        ("{}".encode("utf-16-le"), "has null bytes"),
        (b'{"images": "\xff"}', "is not COCO instances JSON"),
        (b"[" * 10**6 + b"]" * 10**6, "nested too deeply"),
        (b'{"images": [], "x": ' + b"[" * 10**6 + b"]" * 10**6 + b"}", "nested too deeply"),
        (b'{"images": [], "annotations": [', "is not COCO instances JSON"),
        (b'{"images": [{"id": 1e999, "file_name": "a"}], "annotations": []}', "is not COCO instances JSON"),
        (b"9" * 10_000, "is not COCO instances JSON"),
        (b"null", "is not COCO instances JSON"),
    ],
)
def test_files_that_are_not_coco_are_told_in_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    file = scenes.coco_instances(tmp_path) / FILE
    file.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        open_dataset(file)
    assert "\n" not in str(caught.value)
