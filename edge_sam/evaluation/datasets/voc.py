"""Pascal VOC: `JPEGImages` and `SegmentationObject`, with an index for each object and 255 for ignored pixels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from edge_sam.errors import InputError
from edge_sam.evaluation.datasets.files import listed, mask_of, pictures_by_stem
from edge_sam.evaluation.samples import Dataset, Sample, Target
from edge_sam.files.names import Names, canonical
from edge_sam.imaging.labels import read_labels

IGNORED = 255


def found(path: Path) -> bool:
    """Return whether `path` has this layout."""
    return (path / "SegmentationObject").is_dir()


def read(path: Path, split: str | None) -> Dataset:
    """List the photographs of a split; see `edge_sam.evaluation.datasets.open_dataset`.

    The split is a list in ``ImageSets/Segmentation``. Default: ``val`` if it exists, else all masks.
    """
    masks = path / "SegmentationObject"
    lists = path / "ImageSets" / "Segmentation"
    if split is not None or (lists / "val.txt").is_file():
        names = [canonical(name) for name in listed(lists / f"{split or 'val'}.txt")]
    else:
        names = list(pictures_by_stem(masks))
    images, known = pictures_by_stem(path / "JPEGImages"), Names(masks)
    samples = []
    for name in names:
        if name not in images:
            raise InputError(f"mask {masks / name}.png has no image in {path / 'JPEGImages'}")
        mask = mask_of(images[name], known)
        samples.append(Sample(name, name, images[name], partial(_targets, mask)))
    return Dataset(path, "voc", samples)


def _targets(path: Path) -> Sequence[Target]:
    labels = read_labels(path)
    valid = labels != IGNORED
    return [Target(str(index), labels == index, valid) for index in np.unique(labels) if index not in (0, IGNORED)]
