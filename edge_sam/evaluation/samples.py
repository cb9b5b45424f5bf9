"""What is evaluated on: photographs with objects whose masks are known, and clips of them."""

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
"""Areas in pixels that part small from medium and medium from large objects in COCO."""


@dataclass(frozen=True, eq=False)
class Target:
    """One object to segment.

    Attributes
    ----------
    name : str
        Which object of its photograph; empty where there is only one.
    truth : ndarray of bool, (height, width)
        Its mask.
    valid : ndarray of bool, (height, width)
        Pixels that count; the others are ignored in every score.
    """

    name: str
    truth: Mask
    valid: Mask

    @property
    def size(self) -> str:
        """``small`` below 32², ``medium`` below 96², else ``large``, by the mask's pixels, as COCO splits objects."""
        area = np.count_nonzero(self.truth)
        return "small" if area < _SMALL else "medium" if area < _MEDIUM else "large"


@dataclass(frozen=True, eq=False)
class Sample:
    """One photograph; nothing is read before `load`.

    Attributes
    ----------
    name : str
        Its name in reports.
    group : str
        What it is drawn with in the bootstrap: itself, or its video.
    image : Path
        The photograph's file.
    read_targets : callable
        Reads the objects' masks.
    size : tuple of int, optional
        (height, width) of the masks, where it is known before they are read.
    """

    name: str
    group: str
    image: Path
    read_targets: Callable[[], Iterable[Target]]
    size: tuple[int, int] | None = None

    def load(self) -> tuple[NDArray[np.uint8], list[Target]]:
        """Read the photograph and its objects, those without any pixels too.

        Raises
        ------
        InputError
            A file cannot be read, or a mask is not of the photograph's size.
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
    """A video whose objects are masked in every frame.

    Attributes
    ----------
    name : str
        Its name in reports.
    frames : sequence of Sample
        In order. Every one has the same objects under the same names; where one is not in sight its mask is empty.
    objects : sequence of str
        Names of the objects that the first frame shows.
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
        Where it lies.
    layout : str
        Which of `edge_sam.evaluation.datasets.LAYOUTS` it has.
    samples : sequence of Sample
        Every photograph, or every frame.
    clips : sequence of Clip
        The videos that they belong to; empty where they are not frames.
    left_out : sequence of int, float or str
        Annotations without a mask, by id.
    """

    path: Path
    layout: str
    samples: Sequence[Sample]
    clips: Sequence[Clip] = ()
    left_out: Sequence[int | float | str] = ()
