"""Names of files: in natural order, and found however another system spelt them."""

from __future__ import annotations

import random
import unicodedata
from pathlib import Path

import pytest
import scenes
from scenes import CUP, photograph, write_grey

from edge_sam.annotate.sources import open_source
from edge_sam.camera.sources import FolderSource
from edge_sam.evaluation.datasets import open_dataset
from edge_sam.files.names import Names, canonical, natural_key
from edge_sam.imaging.images import pictures

ORDER = [
    "1.png",
    "01.png",
    "1a.png",
    "2.png",
    "10.png",
    "a1b2.png",
    "a1b10.png",
    "a02.png",
    "frame9.png",
    "frame10.png",
]
NFC, NFD = (unicodedata.normalize(form, "Ångström-é") for form in ("NFC", "NFD"))


def test_numbers_count_by_their_value() -> None:
    shuffled = random.Random(0).sample(ORDER, len(ORDER))
    assert [name for name in sorted(shuffled, key=natural_key) if name not in ("1.png", "01.png")] == ORDER[2:]
    assert sorted(shuffled, key=natural_key)[:2] == ["01.png", "1.png"]
    huge = ["x" + "9" * 5000, "x1" + "0" * 5000, "x٣", "x³", ""]
    assert sorted(huge, key=natural_key)[:3] == ["", huge[0], huge[1]]


def test_frames_come_in_natural_order_everywhere(tmp_path: Path) -> None:
    frames = ["1", "2", "10"]
    for name in frames:
        photograph(tmp_path / "walk" / "frames" / f"{name}.png")
        write_grey(tmp_path / "walk" / "masks" / f"{name}.png", CUP * 255)
    folder = tmp_path / "walk" / "frames"
    files = [f"{name}.png" for name in frames]
    assert [path.name for path in pictures(folder)] == files
    assert [item.name for item in open_source(str(folder))] == files
    assert [item.name for item in open_source(f"{folder}/*.png")] == files
    (tmp_path / "list.txt").write_text("\n".join(sorted(files)))
    assert [item.name for item in open_source(str(tmp_path / "list.txt"))] == files
    source = FolderSource(folder)
    source.open()
    assert [(source.read() or (None, None))[1] for _ in frames] == frames
    (clip,) = open_dataset(tmp_path).clips
    assert [frame.name for frame in clip.frames] == [f"walk/{name}" for name in frames]
    for video in ("walk2", "walk10"):
        (tmp_path / video).symlink_to("walk")
    assert [clip.name for clip in open_dataset(tmp_path).clips] == ["walk", "walk2", "walk10"]
    (tmp_path / "walk" / "images").symlink_to("frames")
    assert [sample.name for sample in open_dataset(tmp_path / "walk").samples] == frames


@pytest.mark.parametrize(("written", "there"), [(NFC, NFD), (NFD, NFC)])
def test_masks_are_found_by_composed_and_decomposed_names(written: str, there: str, tmp_path: Path) -> None:
    scenes.folder(tmp_path / "folder")
    for folder, name in (("images", there), ("masks", written)):
        (tmp_path / "folder" / folder / "cup0.png").rename(tmp_path / "folder" / folder / f"{name}.png")
    (sample,) = open_dataset(tmp_path / "folder").samples
    assert len(sample.load()[1]) == 1
    root = scenes.voc(tmp_path / "voc")
    (root / "JPEGImages" / "b.png").rename(root / "JPEGImages" / f"{there}.png")
    (root / "SegmentationObject" / "b.png").rename(root / "SegmentationObject" / f"{written}.png")
    (root / "ImageSets" / "Segmentation" / "val.txt").write_text(f"{written}\n", encoding="utf-8")
    (sample,) = open_dataset(root).samples
    assert len(sample.load()[1]) == 2
    root = scenes.davis(tmp_path / "davis")
    (root / "ImageSets" / "2017" / "val.txt").write_text(f"{written}\n", encoding="utf-8")
    for kind in ("JPEGImages", "Annotations"):
        (root / kind / "480p" / "cup").rename(root / kind / "480p" / there)
    (clip,) = open_dataset(root).clips
    assert len(clip.frames) == 4


def test_names_are_found_with_other_slashes_below_the_folder_only(tmp_path: Path) -> None:
    (tmp_path / "in" / "a").mkdir(parents=True)
    (tmp_path / "in" / "a" / "b.png").write_bytes(b"")
    (tmp_path / "in" / "back\\slash.png").write_bytes(b"")
    names = Names(tmp_path / "in")
    assert names.find("a\\b.png") == tmp_path / "in" / "a" / "b.png"
    assert names.find("back\\slash.png") == tmp_path / "in" / "back\\slash.png"
    assert names.find("a/c.png") is None
    assert names.find("b.png") is None
    assert names.find("a/b.png/c") is None
    assert names.find("/a/b.png") is None
    assert names.find("\\a\\b.png") is None
    assert names.find(str(tmp_path / "in" / "a")) == tmp_path / "in" / "a"
    (tmp_path / "in" / "loop").symlink_to("loop")
    assert names.find("loop") is None
    assert names.find("loop/x") is None


def test_a_long_name_is_not_composed_because_that_takes_quadratic_time() -> None:
    name = "a" + "\u0301\u0327" * 2000
    assert canonical(name) == name
