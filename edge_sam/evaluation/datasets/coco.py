"""COCO instances: a JSON file with polygons or RLE of all objects, and a folder of photographs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edge_sam.errors import InputError
from edge_sam.evaluation.metrics import Mask
from edge_sam.evaluation.samples import Dataset, Sample, Target
from edge_sam.files.names import Names
from edge_sam.imaging.coco import (
    Annotation,
    Id,
    Image,
    by_id,
    check_file_names,
    check_segmentation,
    decode_segmentation,
    first_few,
    read_coco,
    warn_left_out,
)
from edge_sam.imaging.decoding import MAX_PIXELS


class _Image(Image):
    height: int
    width: int


class _Annotation(Annotation, kw_only=True):
    id: Id
    category_id: Id | None = None
    segmentation: Any = None


class _Instances(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation]


def found(path: Path) -> bool:
    """Return whether `path` is or holds a JSON file of this format."""
    return path.suffix == ".json" or bool(_candidates(path))


def read(path: Path, split: str | None) -> Dataset:
    """List the photographs of a JSON file; see `edge_sam.evaluation.datasets.open_dataset`.

    `path` is the file, or a folder with ``annotations/instances_SPLIT.json``. ``val`` also matches ``val2017``.
    """
    file = path if path.suffix == ".json" else _choose(path, split)
    instances = read_coco(file, _Instances)
    images = by_id(instances.images, "images", file)
    check_file_names(images.values(), file)
    if not images or not instances.annotations:
        raise InputError(f"{file} has no {'annotations' if images else 'images'}")
    annotations = [annotation for annotation in instances.annotations if annotation.image_id in images]
    if not annotations:
        raise InputError(
            f"no annotation of {file} belongs to one of its images: the first is on image"
            f" {instances.annotations[0].image_id!r:.80}, the ids of the images are {first_few(list(images))}"
        )
    masked, left_out = _with_masks(annotations, images, file)
    by_image: dict[Id, list[_Annotation]] = defaultdict(list)
    for annotation in masked:
        by_image[annotation.image_id].append(annotation)
    # An image whose annotations are all crowds has nothing to prompt.
    shown = [image for image in images.values() if not all(one.iscrowd for one in by_image[image.id])]
    if not shown:
        raise InputError(f"every annotation of {file} is a crowd (iscrowd 1); crowds are never prompted")
    folder = _image_folder(file, shown[0])
    names = Names(folder)
    samples = [
        Sample(
            image.file_name,
            image.file_name,
            names.find(image.file_name) or folder / image.file_name,
            partial(_targets, image, by_image[image.id]),
            (image.height, image.width),
        )
        for image in shown
    ]
    return Dataset(path, "coco", samples, left_out=left_out)


def _with_masks(
    annotations: Sequence[_Annotation], images: dict[Id, _Image], file: Path
) -> tuple[list[_Annotation], list[Id]]:
    """Check and convert the segmentations. Returns the annotations with a mask, and the ids of the others."""
    masked, left_out = [], []
    for annotation in annotations:
        image = images[annotation.image_id]
        size = image.height, image.width
        if min(size) < 1 or size[0] * size[1] > MAX_PIXELS:
            raise InputError(
                f"image {image.id!r:.80} of {file} is {image.width}×{image.height}; expected 1 to {MAX_PIXELS} pixels"
            )
        try:
            annotation.segmentation = check_segmentation(annotation.segmentation, size)
        except InputError as error:
            raise InputError(f"annotation {annotation.id!r:.80} of {file}: {error}") from error
        if annotation.segmentation is None:
            left_out.append(annotation.id)
        else:
            masked.append(annotation)
    if not masked:
        raise InputError(f"no annotation of {file} has a mask: every segmentation is empty or absent")
    warn_left_out(file, "mask", left_out)
    return masked, left_out


def _candidates(path: Path) -> list[Path]:
    """List the instance files of a folder, where COCO or labelling tools put them."""
    names = ("annotations/instances_*.json", "annotations.json", "_annotations.coco.json", "*/_annotations.coco.json")
    return sorted(file for name in names for file in path.glob(name))


def _choose(path: Path, split: str | None) -> Path:
    files = _candidates(path)
    wanted = split or "val"
    fitting = [f for f in files if f.stem.removeprefix("instances_") in (wanted, f"{wanted}2017")]
    fitting = fitting or [f for f in files if f.parent.name == wanted]
    if len(fitting) == 1 or (split is None and len(files) == 1):
        return (fitting or files)[0]
    have = ", ".join(str(file.relative_to(path)) for file in files)
    raise InputError(f"{path} has no single {wanted!r} among {have}; give --split, or the file as --dataset")


def _image_folder(file: Path, image: _Image) -> Path:
    """Find the folder of the photographs: named after the JSON file, as in COCO, or near it."""
    root = file.parent.parent if file.parent.name == "annotations" else file.parent
    name = file.stem.removeprefix("instances_")
    folders = [root / name, root / "images" / name, root / "images", root]
    for folder in folders:
        found = Names(folder).find(image.file_name)
        if found is not None and found.is_file():
            return folder
    raise InputError(f"image {image.file_name:.200} of {file} is in none of {', '.join(map(str, folders))}")


def _targets(image: _Image, annotations: Sequence[_Annotation]) -> Iterator[Target]:
    """Yield the objects of one photograph. Crowds of an object's category are ignored, as in COCO's evaluation."""
    size = image.height, image.width
    crowds: dict[Id | None, Mask] = {}
    for annotation in annotations:
        if annotation.iscrowd:
            category = annotation.category_id
            mask = decode_segmentation(annotation.segmentation, size)
            crowds[category] = crowds[category] | mask if category in crowds else mask
    everywhere = np.ones(size, dtype=np.bool_)
    for annotation in annotations:
        if not annotation.iscrowd:
            truth = decode_segmentation(annotation.segmentation, size)
            crowd = crowds.get(annotation.category_id)
            yield Target(str(annotation.id), truth, everywhere if crowd is None else ~crowd | truth)
