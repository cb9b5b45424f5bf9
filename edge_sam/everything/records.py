"""The records of masks that the user gets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sam.everything.candidates import Candidate, without_duplicates
from edge_sam.everything.regions import remove_small_regions
from edge_sam.everything.settings import EverythingSettings
from edge_sam.everything.suppression import suppress, suppress_by_overlap
from edge_sam.imaging.masks import encode_rle, overlaps

MaskRecord = dict[str, Any]
"""The fields of the reference generator's records; see `mask_record`."""


def mask_record(
    mask: NDArray[np.bool_],
    *,
    predicted_iou: float,
    stability_score: float,
    points: Sequence[Sequence[float]],
    crop_box: tuple[int, int, int, int],
) -> MaskRecord:
    """Describe a (height, width) mask at the photograph's size.

    `points` are the points asked, XY, and `crop_box` the encoded part of the photograph, XYXY. In the record
    ``segmentation`` is COCO RLE, and ``bbox`` and ``crop_box`` are XYWH. All coordinates are in pixels.
    """
    x0, y0, x1, y1 = crop_box
    return {
        "segmentation": encode_rle(mask),
        "area": int(np.count_nonzero(mask)),
        "bbox": list(cv2.boundingRect(mask.view(np.uint8))),
        "predicted_iou": predicted_iou,
        "point_coords": [list(point) for point in points],
        "stability_score": stability_score,
        "crop_box": [x0, y0, x1 - x0, y1 - y0],
    }


class RecordBuilder:
    """Builds the records of candidates, one mask of the photograph's size at a time.

    Parameters
    ----------
    settings : EverythingSettings
    image_size : tuple of int
        (height, width) of the photograph.
    region : ndarray of bool, (height, width), or None
        Region of interest.
    """

    def __init__(
        self, settings: EverythingSettings, image_size: tuple[int, int], region: NDArray[np.bool_] | None
    ) -> None:
        self._settings, self._image_size, self._region = settings, image_size, region
        self._made: dict[Candidate, tuple[MaskRecord, bool] | None] = {}

    def record(self, candidate: Candidate) -> MaskRecord | None:
        """Return the record of a candidate, or None if too little of its mask is left."""
        made = self._make(candidate)
        return made and made[0]

    def choose(self, candidates: Sequence[Candidate]) -> dict[Candidate, MaskRecord]:
        """Drop duplicates across crops and after the clean-up. Returns the others, best first."""
        if self._settings.crop_n_layers:
            threshold = self._settings.crop_nms_thresh
            candidates = without_duplicates(candidates, threshold, lambda candidate: 1 / candidate.crop.area)
        made = {candidate: self._make(candidate) for candidate in candidates}
        present = {candidate: entry for candidate, entry in made.items() if entry is not None}
        if self._settings.min_mask_region_area:
            present = self._best_of_cleaned(present)
        best = sorted(present, key=lambda candidate: -candidate.predicted_iou)
        if self._settings.mask_nms_thresh < 1:
            rles = [present[candidate][0]["segmentation"] for candidate in best]
            best = [best[i] for i in suppress_by_overlap(overlaps(rles, rles), self._settings.mask_nms_thresh)]
        return {candidate: present[candidate][0] for candidate in best}

    def _best_of_cleaned(
        self, present: dict[Candidate, tuple[MaskRecord, bool]]
    ) -> dict[Candidate, tuple[MaskRecord, bool]]:
        """Of masks that the clean-up made alike, keep one that it did not change."""
        candidates = list(present)
        boxes = np.array([record["bbox"] for record, _ in present.values()], dtype=np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        scores = np.array([0.0 if changed else 1.0 for _, changed in present.values()])
        threshold = max(self._settings.box_nms_thresh, self._settings.crop_nms_thresh)
        return {candidates[i]: present[candidates[i]] for i in suppress(boxes, scores, threshold)}

    def _make(self, candidate: Candidate) -> tuple[MaskRecord, bool] | None:
        """Return the record, and whether the clean-up changed the mask."""
        if candidate not in self._made:
            self._made[candidate] = self._draw(candidate)
        return self._made[candidate]

    def _draw(self, candidate: Candidate) -> tuple[MaskRecord, bool] | None:
        x0, y0, x1, y1 = candidate.crop.box
        mask = candidate.mask()
        if candidate.crop.layer:
            whole = np.zeros(self._image_size, dtype=np.bool_)
            whole[y0:y1, x0:x1] = mask
            mask = whole
        if self._region is not None:
            mask &= self._region
        changed = False
        if self._settings.min_mask_region_area:
            mask, changed = remove_small_regions(mask, self._settings.min_mask_region_area, self._region)
        if np.count_nonzero(mask) < max(1, self._settings.min_mask_area):
            return None
        record = mask_record(
            mask,
            predicted_iou=candidate.predicted_iou,
            stability_score=candidate.stability_score,
            points=[candidate.point],
            crop_box=candidate.crop.box,
        )
        return record, changed
