"""Every layout of a dataset, read from the disk, and what is said about wrong ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scenes
from conftest import iou
from PIL import Image
from scenes import CUP, SIZE, SPOON, disc

from edge_sam import InputError
from edge_sam.evaluation.datasets import open_dataset
from edge_sam.imaging.labels import read_labels


def test_a_palette_gives_its_indices(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).choice([0, 1, 2, 3, 255], size=SIZE)
    scenes.write_indexed(tmp_path / "indexed.png", labels)
    np.testing.assert_array_equal(read_labels(tmp_path / "indexed.png"), labels)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "indexed.png")), labels)
    scenes.write_grey(tmp_path / "grey.png", labels)
    np.testing.assert_array_equal(read_labels(tmp_path / "grey.png"), labels)
    with pytest.raises(InputError, match="in colour"):
        read_labels(scenes.COFFEE)


def test_folder_of_images_and_masks(tmp_path: Path) -> None:
    dataset = open_dataset(scenes.folder(tmp_path, 3))
    assert [sample.name for sample in dataset.samples] == ["cup0", "cup1", "cup2"]
    image, (target,) = dataset.samples[0].load()
    assert image.shape == (*SIZE, 3)
    np.testing.assert_array_equal(target.truth, CUP)
    np.testing.assert_array_equal(target.valid, CUP | ~disc(SIZE, 290, 115, 120))
    assert target.size == "large"
    assert [sample.name for sample in open_dataset(tmp_path, limit=2).samples] == ["cup0", "cup2"]


def test_masks_of_ones_and_zeros(tmp_path: Path) -> None:
    scenes.folder(tmp_path)
    scenes.write_grey(tmp_path / "masks" / "cup0.png", CUP)
    _, (target,) = open_dataset(tmp_path).samples[0].load()
    np.testing.assert_array_equal(target.truth, CUP)


def test_voc(tmp_path: Path) -> None:
    (sample,) = open_dataset(scenes.voc(tmp_path)).samples
    assert sample.name == "b"
    _, (cup, spoon) = sample.load()
    np.testing.assert_array_equal(cup.truth, CUP)
    np.testing.assert_array_equal(spoon.truth, SPOON)
    assert spoon.size == "medium"
    assert not spoon.valid[115, 290 + 118]
    assert [sample.name for sample in open_dataset(tmp_path, split="train").samples] == ["a"]


def test_davis(tmp_path: Path) -> None:
    dataset = open_dataset(scenes.davis(tmp_path))
    (clip,) = dataset.clips
    assert (clip.name, clip.objects) == ("cup", ["1", "2"])
    assert [frame.group for frame in dataset.samples] == ["cup"] * 4
    _, (_, absent) = clip.frames[2].load()
    assert not absent.truth.any()
    assert len(open_dataset(tmp_path, limit=2).samples) == 2


def test_videos_as_folders_with_white_objects(tmp_path: Path) -> None:
    for i in range(3):
        scenes.photograph(tmp_path / "cup" / "frames" / f"{i}.png")
        scenes.write_grey(tmp_path / "cup" / "masks" / f"{i}.png", CUP * 255)
    (clip,) = open_dataset(tmp_path).clips
    _, (target,) = clip.frames[1].load()
    np.testing.assert_array_equal(target.truth, CUP)
    assert target.valid.all()


@pytest.mark.parametrize("name", ["", "annotations/instances_val2017.json"])
def test_coco(tmp_path: Path, name: str) -> None:
    (sample,) = open_dataset(scenes.coco_instances(tmp_path) / name).samples
    _, (cup, spoon) = sample.load()
    assert iou(cup.truth, CUP) > 0.97  # A polygon's corners are at pixel centres.
    np.testing.assert_array_equal(spoon.truth, SPOON)
    assert spoon.valid.all()
    assert not cup.valid[115, 440]
    assert cup.valid[cup.truth].all()


def empty(root: Path) -> Path:
    return root


def without_mask(root: Path) -> Path:
    (scenes.folder(root) / "masks" / "cup0.png").unlink()
    return root


def without_images(root: Path) -> Path:
    (scenes.folder(root) / "images" / "cup0.png").unlink()
    return root


def twice(root: Path) -> Path:
    Image.open(scenes.COFFEE).convert("RGB").save(scenes.folder(root) / "images" / "cup0.jpg")
    return root


def coco_without_images(root: Path) -> Path:
    (scenes.coco_instances(root) / "val2017" / "cup.png").unlink()
    return root


def coco_of_something_else(root: Path) -> Path:
    return scenes.coco_instances(root, annotations="none")


def coco_with_no_images(root: Path) -> Path:
    return scenes.coco_instances(root, images=[])


def coco_of_other_images(root: Path) -> Path:
    return scenes.coco_instances(root, images=[{"id": 8, "file_name": "cup.png", "height": 400, "width": 600}])


def no_photographs_but_a_file(root: Path) -> Path:
    scenes.photograph(root / "a.png")
    return root / "a.png"


def images_only(root: Path) -> Path:
    scenes.photograph(root / "images" / "a.png")
    return root


def voc_without_mask(root: Path) -> Path:
    (scenes.voc(root) / "SegmentationObject" / "b.png").unlink()
    return root


def davis_without_mask(root: Path) -> Path:
    (scenes.davis(root) / "Annotations/480p/cup/00002.png").unlink()
    return root


def davis_without_frames(root: Path) -> Path:
    for frame in (scenes.davis(root) / "JPEGImages/480p/cup").iterdir():
        frame.unlink()
    return root


def voc_without_image(root: Path) -> Path:
    (scenes.voc(root) / "JPEGImages" / "b.png").unlink()
    return root


def davis_with_an_empty_start(root: Path) -> Path:
    scenes.write_indexed(scenes.davis(root) / "Annotations/480p/cup/00000.png", np.zeros(SIZE))
    return root


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (empty, "is not a dataset of a known layout: expected images/ and masks/"),
        (images_only, "is not a dataset of a known layout"),
        (lambda root: root / "absent", "absent does not exist"),
        (no_photographs_but_a_file, "a.png is neither a folder nor a COCO JSON file"),
        (without_mask, r"cup0.png has no mask .*cup0.png"),
        (without_images, "images holds no images"),
        (twice, "two pictures called cup0"),
        (coco_without_images, "image cup.png of .* is in none of"),
        (coco_of_something_else, r"is not COCO instances JSON: .*annotations"),
        (coco_with_no_images, "has no images"),
        (coco_of_other_images, "no annotation of .* belongs to one of its images"),
        (voc_without_image, "has no image in"),
        (voc_without_mask, r"b.png has no mask .*b.png"),
        (davis_without_mask, r"00002.png has no mask .*00002.png"),
        (davis_without_frames, "cup holds no images"),
        (davis_with_an_empty_start, "the first mask of video cup is empty"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_dataset(make(tmp_path))


def test_what_is_wrong_with_a_mask_is_said(tmp_path: Path) -> None:
    scenes.folder(tmp_path)
    scenes.write_grey(tmp_path / "masks" / "cup0.png", np.zeros((10, 20)))
    with pytest.raises(InputError, match=r"mask of cup0 is 20×10, its image .* is 600×400"):
        open_dataset(tmp_path).samples[0].load()
    scenes.write_grey(tmp_path / "masks" / "cup0.png", np.full(SIZE, 37))
    with pytest.raises(InputError, match="grey level 37; expected 0 background, 128 ignore, 255 object"):
        open_dataset(tmp_path).samples[0].load()


def test_masks_of_another_size_are_named_in_every_layout(tmp_path: Path) -> None:
    small = np.ones((10, 20), np.uint8)
    scenes.write_indexed(scenes.voc(tmp_path / "voc") / "SegmentationObject" / "b.png", small)
    scenes.write_indexed(scenes.davis(tmp_path / "davis") / "Annotations/480p/cup/00000.png", small)
    for layout in ("voc", "davis"):
        with pytest.raises(InputError, match=r"is 20×10, its image .* is 600×400"):
            open_dataset(tmp_path / layout).samples[0].load()
    images = [{"id": 7, "file_name": "cup.png", "height": 300, "width": 600}]
    scenes.coco_instances(tmp_path / "coco", images=images)
    with pytest.raises(InputError, match=r"annotation 2 of .*json: the RLE is 600×400, its image is 600×300"):
        open_dataset(tmp_path / "coco")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "voc"}, "not a dataset of layout voc"),
        ({"layout": "zip"}, "unknown layout 'zip'; known: auto, folder"),
        ({"split": "val"}, "has no splits"),
        ({"limit": 0}, "at least 1"),
    ],
)
def test_wrong_options(tmp_path: Path, options: dict[str, str], message: str) -> None:
    scenes.folder(tmp_path)
    with pytest.raises(InputError, match=message):
        open_dataset(tmp_path, **options)  # type: ignore[arg-type]


def test_an_unknown_split_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"test.txt"):
        open_dataset(scenes.voc(tmp_path / "voc"), split="test")
    with pytest.raises(InputError, match="has no split 'test'"):
        open_dataset(scenes.davis(tmp_path / "davis"), split="test")
    with pytest.raises(InputError, match=r"no single .test. among annotations"):
        open_dataset(scenes.coco_instances(tmp_path / "coco"), split="test")
