"""Settings: which masks go into the data set."""

from dataclasses import dataclass

from edge_sam.errors import InputError
from edge_sam.everything.settings import Fraction, Pixels, StabilitySettings


@dataclass(frozen=True, kw_only=True)
class Limits(StabilitySettings):
    """Which masks are kept.

    Attributes
    ----------
    pred_iou_thresh : float, optional
        Lowest predicted IoU. Default: 0.88 for a grid of points, 0 for given prompts.
    stability_score_thresh : float, optional
        Lowest stability: the IoU of the mask with its threshold raised and lowered. Default: 0.95 for a grid of points,
        0 for given prompts.
    mask_nms_thresh : float
        Mask IoU above which masks of one category are duplicates; 1 keeps all.
    max_mask_area : int
        Largest mask in pixels; 0 sets no limit.
    border : int
        Reject masks that come nearer than this many pixels to the photograph's edge; 1 rejects those that touch it.
    """

    pred_iou_thresh: Fraction | None = None
    stability_score_thresh: Fraction | None = None
    mask_nms_thresh: Fraction = 0.9
    max_mask_area: Pixels = 0
    border: Pixels = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if 0 < self.max_mask_area < self.min_mask_area:
            raise InputError(f"max_mask_area {self.max_mask_area} is less than min_mask_area {self.min_mask_area}")
