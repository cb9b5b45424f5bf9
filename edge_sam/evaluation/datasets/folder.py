"""A folder with `images` and `masks`, with one object on each photograph."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from edge_sam.errors import InputError
from edge_sam.evaluation.datasets.files import mask_of, pictures_by_stem
from edge_sam.evaluation.samples import Dataset, Sample, Target
from edge_sam.files.names import Names
from edge_sam.imaging.labels import read_labels

IGNORED = 128


def found(path: Path) -> bool:
    """Return whether `path` has this layout."""
    return (path / "images").is_dir() and (path / "masks").is_dir()


def read(path: Path, split: str | None) -> Dataset:
    """List the photographs of `path`; see `edge_sam.evaluation.datasets.open_dataset`."""
    if split is not None:
        raise InputError(f"{path} is a folder of images and masks; it has no splits")
    samples, masks = [], Names(path / "masks")
    for stem, image in pictures_by_stem(path / "images").items():
        mask = mask_of(image, masks)
        samples.append(Sample(stem, stem, image, partial(_targets, mask)))
    return Dataset(path, "folder", samples)


def _targets(path: Path) -> list[Target]:
    """Read a mask with GrabCut's grey levels (255 object, 128 ignore, 0 background), or with just 1 and 0."""
    labels = read_labels(path)
    levels = set(np.unique(labels).tolist())
    object_level = 1 if levels <= {0, 1} else 255
    unknown = levels - {0, IGNORED, object_level}
    if unknown:
        raise InputError(
            f"mask {path} has the grey level {min(unknown)}; expected 0 background, 128 ignore, 255 object"
        )
    return [Target("", labels == object_level, labels != IGNORED)]
