"""The settings of everything mode. Their names are those of the Segment Anything reference generator."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from msgspec import Meta
from numpy.typing import ArrayLike, NDArray

from edge_sam.errors import InputError
from edge_sam.everything.points import point_grid
from edge_sam.imaging.view import View
from edge_sam.settings import Settings

Fraction = Annotated[float, Meta(ge=0, le=1)]
Pixels = Annotated[int, Meta(ge=0)]
GridSide = Annotated[int, Meta(ge=1, le=256)]
"""At 256 there is a point for each cell of the low-res logits."""


@dataclass(frozen=True, kw_only=True)
class Grid(Settings):
    """The grid of points that everything mode asks, and the crops that it searches.

    Attributes
    ----------
    points_per_side : int or None
        Side of the grid of points.
    points_per_batch : int
        Points in one call of the decoder. On a CPU more than one gains little, and each costs about 60 MB.
    adaptive : bool
        Leave out points whose answer is known from others; the reference generator asks every point.
    crop_n_layers : int
        Layers of crops to search as well; layer n has 2ⁿ × 2ⁿ crops.
    crop_nms_thresh : float
        Box IoU between crops above which masks are duplicates; the mask of the smaller crop stays.
    crop_overlap_ratio : float
        Overlap of crops in the first layer, as a fraction of the photograph's shorter side.
    crop_n_points_downscale_factor : int
        In layer n the grid's side is divided by this to the power of n.
    box_nms_thresh : float
        Box IoU above which masks are duplicates; the mask with the higher predicted IoU stays.
    min_mask_region_area : int
        Holes and islands with fewer pixels are removed.
    """

    points_per_side: GridSide | None = 32
    points_per_batch: Annotated[int, Meta(ge=1, le=1024)] = 1
    adaptive: bool = True
    crop_n_layers: Annotated[int, Meta(ge=0, le=4)] = 0
    crop_nms_thresh: Fraction = 0.7
    crop_overlap_ratio: Fraction = 512 / 1500
    crop_n_points_downscale_factor: GridSide = 1
    box_nms_thresh: Fraction = 0.7
    min_mask_region_area: Pixels = 0

    def layers(self, given: Sequence[ArrayLike] | None) -> list[NDArray[np.float64]]:
        """Points of every layer, (N, 2) XY as fractions of the crop: the `given` ones, or grids."""
        if (self.points_per_side is None) == (given is None):
            raise InputError("give either points_per_side or point_grids; set the other to None")
        if given is not None:
            if len(given) <= self.crop_n_layers:
                raise InputError(f"{len(given)} point_grids for {self.crop_n_layers + 1} layers; give one for each")
            return [_grid(points) for points in given]
        assert self.points_per_side is not None
        factor = self.crop_n_points_downscale_factor
        return [point_grid(max(1, self.points_per_side // factor**layer)) for layer in range(self.crop_n_layers + 1)]


@dataclass(frozen=True, kw_only=True)
class StabilitySettings(Settings):
    """How a mask is measured before it is kept or dropped.

    Attributes
    ----------
    stability_score_offset : float
        Logits by which the threshold is raised and lowered to measure a mask's stability.
    min_mask_area : int
        Smallest mask in pixels.
    """

    stability_score_offset: Annotated[float, Meta(ge=0)] = 1.0
    min_mask_area: Pixels = 0


@dataclass(frozen=True, kw_only=True)
class Thresholds(StabilitySettings):
    """Which masks of everything mode are kept.

    Attributes
    ----------
    pred_iou_thresh : float
        Lowest predicted IoU.
    stability_score_thresh : float
        Lowest stability: the IoU of the mask with its threshold raised and lowered.
    mask_nms_thresh : float
        Mask IoU above which masks are duplicates; 1 keeps all.
    """

    pred_iou_thresh: Fraction = 0.88
    stability_score_thresh: Fraction = 0.95
    mask_nms_thresh: Fraction = 1.0


@dataclass(frozen=True, kw_only=True)
class EverythingSettings(Grid, Thresholds, View):
    """All settings of everything mode.

    Attributes
    ----------
    square : bool
        Encode a square, as the reference implementation does: padded, or stretched for families without padding.
        Without it encoding is faster but finds other masks.
    """

    square: bool = True


def _grid(given: ArrayLike) -> NDArray[np.float64]:
    try:
        points = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"point_grids are not numbers: {error}") from error
    if points.ndim != 2 or points.shape[1] != 2 or not ((points >= 0) & (points < 1)).all():
        raise InputError("each of point_grids must be (N, 2): XY as fractions from 0 to below 1")
    return points
