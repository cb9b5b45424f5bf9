"""Photographs with ground-truth masks, and video clips of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import InputError
from edge_sam.evaluation.metrics import Mask
from edge_sam.imaging.images import read_image

_SMALL, _MEDIUM = 32**2, 96**2
"""Areas in pixels that separate small, medium and large objects, as in COCO."""


@dataclass(frozen=True, eq=False)
class Target:
    """One object to segment.

    Attributes
    ----------
    name : str
        Identifies the object on its photograph. Empty if there is only one object.
    truth : ndarray of bool, (height, width)
        Its mask.
    valid : ndarray of bool, (height, width)
        Pixels that count. All scores ignore the others.
    """

    name: str
    truth: Mask
    valid: Mask

    @property
    def size(self) -> str:
        """``small`` below 32² pixels of the mask, ``medium`` below 96², else ``large``, as in COCO."""
        area = np.count_nonzero(self.truth)
        return "small" if area < _SMALL else "medium" if area < _MEDIUM else "large"


@dataclass(frozen=True, eq=False)
class Sample:
    """A photograph. Nothing is read before `load`.

    Attributes
    ----------
    name : str
        Its name in reports.
    group : str
        Its group in the bootstrap: the photograph itself, or its video.
    image : Path
        The photograph's file.
    read_targets : callable
        Reads the objects' masks.
    size : tuple of int, optional
        (height, width) of the masks, if known before they are read.
    """

    name: str
    group: str
    image: Path
    read_targets: Callable[[], Iterable[Target]]
    size: tuple[int, int] | None = None

    def load(self) -> tuple[NDArray[np.uint8], list[Target]]:
        """Read the photograph and all its objects, including those without pixels.

        Raises
        ------
        InputError
            A file cannot be read, or a mask differs from the photograph in size.
        """
        image = read_image(self.image)
        self._check_size(self.size or image.shape[:2], image)
        targets = []
        for target in self.read_targets():
            self._check_size(target.truth.shape, image)
            targets.append(target)
        return image, targets

    def _check_size(self, size: tuple[int, ...], image: NDArray[np.uint8]) -> None:
        if size != image.shape[:2]:
            (mask_height, mask_width), (height, width) = size, image.shape[:2]
            raise InputError(
                f"the mask of {self.name} is {mask_width}×{mask_height}, its image {self.image} is {width}×{height}"
            )


@dataclass(frozen=True, eq=False)
class Clip:
    """A video with ground truth in every frame.

    Attributes
    ----------
    name : str
        Its name in reports.
    frames : sequence of Sample
        In order. All frames have the same objects under the same names. An object that is out of sight has an empty
        mask.
    objects : sequence of str
        Names of the objects in the first frame.
    """

    name: str
    frames: Sequence[Sample]
    objects: Sequence[str]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Photographs with ground truth.

    Attributes
    ----------
    path : Path
        Its file or folder.
    layout : str
        One of `edge_sam.evaluation.datasets.LAYOUTS`.
    samples : sequence of Sample
        All photographs or frames.
    clips : sequence of Clip
        The videos that the frames belong to. Empty if the samples are not frames.
    left_out : sequence of int, float or str
        Ids of annotations without a mask.
    """

    path: Path
    layout: str
    samples: Sequence[Sample]
    clips: Sequence[Clip] = ()
    left_out: Sequence[int | float | str] = ()
