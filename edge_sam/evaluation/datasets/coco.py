"""COCO instances: one JSON file with polygons or RLE of every object, and a folder of photographs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edge_sam.errors import InputError
from edge_sam.evaluation.metrics import Mask
from edge_sam.evaluation.samples import Dataset, Sample, Target


class _Image(msgspec.Struct):
    id: int
    file_name: str
    height: int
    width: int


class _Rle(msgspec.Struct):
    size: tuple[int, int]
    counts: str | list[int]


class _Annotation(msgspec.Struct):
    id: int
    image_id: int
    category_id: int
    segmentation: list[list[float]] | _Rle
    iscrowd: int = 0


class _Instances(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation]


def found(path: Path) -> bool:
    """Tell whether `path` is or holds a JSON file of this format."""
    return path.suffix == ".json" or bool(_candidates(path))


def read(path: Path, split: str | None) -> Dataset:
    """List the photographs of a JSON file; see `edge_sam.evaluation.datasets.open_dataset`.

    `path` is the file, or a folder with ``annotations/instances_SPLIT.json``; ``val`` means ``val2017`` too.
    """
    file = path if path.suffix == ".json" else _choose(path, split)
    try:
        instances = msgspec.json.decode(file.read_bytes(), type=_Instances)
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror or error}") from error
    except msgspec.DecodeError as error:
        raise InputError(f"{file} is not COCO instances JSON: {error}") from error
    by_image: dict[int, list[_Annotation]] = defaultdict(list)
    for annotation in instances.annotations:
        by_image[annotation.image_id].append(annotation)
    if not instances.images or not by_image:
        raise InputError(f"{file} has no {'annotations' if instances.images else 'images'}")
    images = [image for image in instances.images if image.id in by_image]
    if not images:
        raise InputError(f"no annotation of {file} belongs to one of its images")
    folder = _image_folder(file, images[0])
    samples = [
        Sample(
            image.file_name,
            image.file_name,
            folder / image.file_name,
            partial(_targets, image, by_image[image.id]),
        )
        for image in images
    ]
    return Dataset(path, "coco", samples)


def _candidates(path: Path) -> list[Path]:
    """Files of instances in a folder: COCO's own place, and what labelling tools export."""
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
    """Find the folder that holds the photographs: named after the JSON file, as COCO has it, or near it."""
    root = file.parent.parent if file.parent.name == "annotations" else file.parent
    name = file.stem.removeprefix("instances_")
    folders = [root / name, root / "images" / name, root / "images", root]
    for folder in folders:
        if (folder / image.file_name).is_file():
            return folder
    raise InputError(f"image {image.file_name} of {file} is in none of {', '.join(map(str, folders))}")


def _targets(image: _Image, annotations: Sequence[_Annotation]) -> list[Target]:
    """Objects of one photograph. The crowds of an object's own category are ignored, as in COCO's evaluation."""
    crowds: dict[int, Mask] = {}
    for annotation in annotations:
        if annotation.iscrowd:
            category = annotation.category_id
            mask = _decode(annotation, image)
            crowds[category] = crowds[category] | mask if category in crowds else mask
    targets = []
    for annotation in annotations:
        if not annotation.iscrowd:
            truth = _decode(annotation, image)
            crowd = crowds.get(annotation.category_id)
            valid = np.ones_like(truth) if crowd is None else ~crowd | truth
            targets.append(Target(str(annotation.id), truth, valid))
    return targets


def _decode(annotation: _Annotation, image: _Image) -> Mask:
    from pycocotools import mask as coco

    segmentation = annotation.segmentation
    size = image.height, image.width
    if isinstance(segmentation, _Rle) and segmentation.size != size:
        (mask_height, mask_width), (height, width) = segmentation.size, size
        raise InputError(
            f"annotation {annotation.id} of {image.file_name} is {mask_width}×{mask_height},"
            f" its image is {width}×{height}"
        )
    rle: Any
    try:
        if isinstance(segmentation, list):
            rle = coco.merge(coco.frPyObjects(segmentation, *size))
        elif isinstance(segmentation.counts, list):
            rle = coco.frPyObjects({"size": size, "counts": segmentation.counts}, *size)
        else:
            rle = {"size": size, "counts": segmentation.counts}
        return np.asarray(coco.decode(rle), dtype=bool)
    except (ValueError, TypeError, IndexError) as error:
        raise InputError(f"annotation {annotation.id} of {image.file_name} has a damaged mask: {error}") from error
