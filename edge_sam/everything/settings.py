"""The parameters of everything mode, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_sam.errors import InputError
from edge_sam.everything.points import point_grid

_MAX_SIDE = 256
"""Points along one side of a grid: a prompt for each logit cell; more is a slip of the keyboard."""
_MAX_LAYERS = 4
OUTPUT_MODES = ("binary_mask", "coco_rle", "uncompressed_rle")


@dataclass(frozen=True)
class Settings:
    """What `MaskGenerator` was told; see there."""

    points_per_side: int | None
    points_per_batch: int
    pred_iou_thresh: float
    stability_score_thresh: float
    stability_score_offset: float
    box_nms_thresh: float
    crop_n_layers: int
    crop_nms_thresh: float
    crop_overlap_ratio: float
    crop_n_points_downscale_factor: int
    min_mask_region_area: int
    output_mode: str
    adaptive: bool
    min_mask_area: int
    mask_nms_thresh: float
    square: bool
    long_side: int

    def __post_init__(self) -> None:
        for name, low, high in (
            ("points_per_batch", 1, 1024),
            ("crop_n_layers", 0, _MAX_LAYERS),
            ("crop_n_points_downscale_factor", 1, _MAX_SIDE),
            ("min_mask_region_area", 0, None),
            ("min_mask_area", 0, None),
            ("pred_iou_thresh", 0, 1),
            ("stability_score_thresh", 0, 1),
            ("stability_score_offset", 0, None),
            ("box_nms_thresh", 0, 1),
            ("crop_nms_thresh", 0, 1),
            ("mask_nms_thresh", 0, 1),
            ("crop_overlap_ratio", 0, 1),
        ):
            _check(name, getattr(self, name), low, high)
        if self.points_per_side is not None:
            _check("points_per_side", self.points_per_side, 1, _MAX_SIDE)
        if self.output_mode not in OUTPUT_MODES:
            raise InputError(f"output_mode {self.output_mode!r} is not one of {', '.join(OUTPUT_MODES)}")

    def grids(self, given: Sequence[ArrayLike] | None) -> list[NDArray[np.float64]]:
        """Points of every layer, (N, 2) XY as fractions of the crop."""
        if (self.points_per_side is None) == (given is None):
            raise InputError("give either points_per_side or point_grids; set the other to None")
        if given is not None:
            if len(given) <= self.crop_n_layers:
                raise InputError(f"{len(given)} point_grids for {self.crop_n_layers + 1} layers; give one for each")
            return [_grid(points) for points in given]
        assert self.points_per_side is not None
        factor = self.crop_n_points_downscale_factor
        return [point_grid(max(1, self.points_per_side // factor**layer)) for layer in range(self.crop_n_layers + 1)]


def _check(name: str, value: float, low: float, high: float | None) -> None:
    above = f"{low} to {high}" if high is not None else f"at least {low}"
    if not value >= low or (high is not None and value > high):  # `not >=` refuses NaN as well.
        raise InputError(f"{name} is {value:g}; it must be {above}")


def _grid(given: ArrayLike) -> NDArray[np.float64]:
    try:
        points = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"point_grids are not numbers: {error}") from error
    if points.ndim != 2 or points.shape[1] != 2 or not ((points >= 0) & (points < 1)).all():
        raise InputError("each of point_grids must be (N, 2): XY as fractions from 0 to below 1")
    return points
