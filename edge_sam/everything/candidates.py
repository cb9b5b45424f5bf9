"""Candidates: masks of the decoder that pass the filters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sam.everything.points import Crop
from edge_sam.everything.settings import EverythingSettings
from edge_sam.everything.suppression import suppress
from edge_sam.imaging.geometry import Geometry
from edge_sam.imaging.masks import box_of, stability
from edge_sam.imaging.view import FRAME

_BACKGROUND = -32.0
"""Logit of all cells far from a mask."""
_NEAR_EDGE = 20
"""A mask this near to a crop's edge, in pixels, counts as cut off, as in the reference."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A mask that passed the filters. To save memory, it keeps only the logits around the mask.

    Attributes
    ----------
    window : ndarray of float16, (rows, columns)
        Low-res logits around the mask. All other cells are background.
    corner : tuple of int
        (row, column) of the window in the grid of low-res logits.
    box : ndarray of float64, (4,)
        XYXY in pixels of the photograph.
    predicted_iou, stability_score : float
    point : tuple of float
        XY in pixels of the photograph: the point that was asked.
    crop : Crop
        The part of the photograph that was encoded.
    geometry : Geometry
        Of the crop.
    """

    window: NDArray[np.float16]
    corner: tuple[int, int]
    box: NDArray[np.float64]
    predicted_iou: float
    stability_score: float
    point: tuple[float, float]
    crop: Crop
    geometry: Geometry

    def mask(self) -> NDArray[np.bool_]:
        """Return the mask at the crop's size, (height, width)."""
        plane = np.full(self.geometry.logit_size, _BACKGROUND, dtype=np.float32)
        (top, left), (rows, columns) = self.corner, self.window.shape
        plane[top : top + rows, left : left + columns] = self.window
        return np.asarray(self.geometry.upsample(plane) > 0)


class CandidateFilter:
    """Filters the decoder's masks of one crop whose predicted IoU is high enough.

    Masks are measured at the crop's size or in the model's frame, whichever is smaller. Low-res logits are too coarse
    to measure the stability of small masks, and a large photograph costs no more than the frame.

    Parameters
    ----------
    settings : EverythingSettings
    geometry : Geometry
        Of the crop.
    crop : Crop
    image_size : tuple of int
        (height, width) of the photograph.
    region : ndarray of bool, (height, width) of the crop, or None
        Where masks may be.
    rejected : Counter of str
        Counts the rejected masks by reason; see `edge_sam.everything.search.Found`.
    """

    def __init__(
        self,
        settings: EverythingSettings,
        geometry: Geometry,
        crop: Crop,
        image_size: tuple[int, int],
        region: NDArray[np.bool_] | None,
        rejected: Counter[str],
    ) -> None:
        self._rejected = rejected
        self._settings, self._crop, self._image_size = settings, crop, image_size
        self._crop_geometry = self._geometry = geometry
        if max(geometry.image_size) > FRAME:
            self._geometry = replace(geometry, image_size=geometry.scaled_size)
        (height, width), (measured_height, measured_width) = geometry.image_size, self._geometry.image_size
        self._scale = np.array([width / measured_width, height / measured_height] * 2)
        self._outside = None if region is None else ~_resize(region, self._geometry.image_size)

    def accept(
        self, logits: NDArray[np.float32], scores: NDArray[np.float32], point: NDArray[np.float64]
    ) -> Iterator[tuple[Candidate | None, NDArray[np.float32]]]:
        """Yield the masks of one point that pass, with their low-res logits.

        Parameters
        ----------
        logits : ndarray of float32, (M, rows, columns)
        scores : ndarray of float32, (M,)
            Predicted IoU.
        point : ndarray of float64, (2,)
            XY in pixels of the crop.

        Yields
        ------
        candidate : Candidate or None
            None if the mask is good but cut off by the crop.
        logits : ndarray of float32, (rows, columns)
        """
        for plane, score in zip(logits, scores, strict=True):
            measured = self._geometry.upsample(plane)
            if self._outside is not None:
                measured[self._outside] = _BACKGROUND
            tight = box_of(measured > 0)
            if tight is None:
                self._rejected["empty"] += 1
                continue
            steady = stability(measured, self._settings.stability_score_offset)
            if steady < self._settings.stability_score_thresh:
                self._rejected["stability"] += 1
                continue
            box = tight * self._scale + self._crop.box[:2] * 2
            if self._cut_off(box):
                self._rejected["crop"] += 1
                yield None, plane
                continue
            window, corner = _window(plane)
            at = (float(point[0]) + self._crop.box[0], float(point[1]) + self._crop.box[1])
            yield Candidate(window, corner, box, float(score), steady, at, self._crop, self._crop_geometry), plane

    def _cut_off(self, box: NDArray[np.float64]) -> bool:
        height, width = self._image_size
        near_crop = np.abs(box - self._crop.box) <= _NEAR_EDGE
        near_image = np.abs(box - (0, 0, width, height)) <= _NEAR_EDGE
        return bool((near_crop & ~near_image).any())


def without_duplicates(
    candidates: Sequence[Candidate], threshold: float, score: Callable[[Candidate], float]
) -> list[Candidate]:
    """Of candidates whose boxes overlap by more than the IoU `threshold`, keep the best score. Best first."""
    boxes = np.array([candidate.box for candidate in candidates]).reshape(-1, 4)
    return [candidates[i] for i in suppress(boxes, np.array([*map(score, candidates)]), threshold)]


def _window(plane: NDArray[np.float32]) -> tuple[NDArray[np.float16], tuple[int, int]]:
    """Cut out the mask with a margin of one cell, which the interpolation of its edge needs."""
    left, top, width, height = cv2.boundingRect((plane > 0).view(np.uint8))
    top, left, bottom, right = max(top - 1, 0), max(left - 1, 0), top + height + 1, left + width + 1
    return plane[top:bottom, left:right].astype(np.float16), (top, left)


def _resize(region: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    if region.shape == size:
        return region
    return np.asarray(cv2.resize(region.view(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST)).view(np.bool_)
