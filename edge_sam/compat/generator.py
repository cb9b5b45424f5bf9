"""`SamAutomaticMaskGenerator`, as in segment-anything and MobileSAM."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_sam.compat.image_predictor import ImagePredictor
from edge_sam.compat.registry import Sam, predictor_of
from edge_sam.everything import MaskGenerator
from edge_sam.everything.records import MaskRecord
from edge_sam.predictor import Predictor
from edge_sam.runtimes import runs_on_cpu


class SamAutomaticMaskGenerator:
    """Finds all masks of an image, with the reference's parameters. `MaskGenerator` describes those not listed here.

    Parameters
    ----------
    model : Predictor, Sam or SamPredictor
        From `edge_sam.load` or `sam_model_registry`, or a predictor with such a model.
    points_per_batch : int
        Points in one call of the decoder. Used on a GPU only: on a CPU a batch gains little and takes gigabytes.
    adaptive : bool
        Leave out points whose answer is known from others. False: ask every point, as the reference does.

    Attributes
    ----------
    generator : MaskGenerator
        What finds the masks, with all its settings.

    Raises
    ------
    InputError
        The model is something else, or a setting is impossible.
    """

    def __init__(
        self,
        model: Predictor | Sam | ImagePredictor,
        points_per_side: int | None = MaskGenerator.points_per_side,
        points_per_batch: int = 64,
        pred_iou_thresh: float = MaskGenerator.pred_iou_thresh,
        stability_score_thresh: float = MaskGenerator.stability_score_thresh,
        stability_score_offset: float = MaskGenerator.stability_score_offset,
        box_nms_thresh: float = MaskGenerator.box_nms_thresh,
        crop_n_layers: int = MaskGenerator.crop_n_layers,
        crop_nms_thresh: float = MaskGenerator.crop_nms_thresh,
        crop_overlap_ratio: float = MaskGenerator.crop_overlap_ratio,
        crop_n_points_downscale_factor: int = MaskGenerator.crop_n_points_downscale_factor,
        point_grids: Sequence[ArrayLike] | None = None,
        min_mask_region_area: int = MaskGenerator.min_mask_region_area,
        output_mode: str = MaskGenerator.output_mode,
        *,
        adaptive: bool = MaskGenerator.adaptive,
    ) -> None:
        predictor = predictor_of(model.model if isinstance(model, ImagePredictor) else model)
        self.generator = MaskGenerator(
            predictor,
            points_per_side=points_per_side,
            points_per_batch=MaskGenerator.points_per_batch if runs_on_cpu(predictor.runtime) else points_per_batch,
            pred_iou_thresh=pred_iou_thresh,
            stability_score_thresh=stability_score_thresh,
            stability_score_offset=stability_score_offset,
            box_nms_thresh=box_nms_thresh,
            crop_n_layers=crop_n_layers,
            crop_nms_thresh=crop_nms_thresh,
            crop_overlap_ratio=crop_overlap_ratio,
            crop_n_points_downscale_factor=crop_n_points_downscale_factor,
            point_grids=point_grids,
            min_mask_region_area=min_mask_region_area,
            output_mode=output_mode,
            adaptive=adaptive,
        )

    def generate(self, image: NDArray[np.uint8]) -> list[MaskRecord]:
        """Find all masks of an image, (height, width, 3) uint8 RGB. See `MaskGenerator.generate`."""
        return self.generator.generate(image)
