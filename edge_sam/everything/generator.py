"""All masks of a photograph: ask a grid of points, keep the good masks, drop duplicates.

The procedure and the names of its parameters come from the Segment Anything paper (arXiv 2304.02643, appendix B) and
its reference generator. One thing is new: points whose answer is already known are not asked (`point_queue`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_sam.everything.candidates import Candidate
from edge_sam.everything.records import MaskRecord, RecordBuilder
from edge_sam.everything.search import Found, Search
from edge_sam.everything.settings import Settings
from edge_sam.imaging.geometry import FRAME
from edge_sam.imaging.images import read_image
from edge_sam.imaging.masks import decode_rle, uncompress_rle
from edge_sam.imaging.preprocess import check_image
from edge_sam.imaging.region import check_region
from edge_sam.predictor import Predictor


@dataclass(frozen=True)
class Update:
    """The changes of one step of `MaskGenerator.stream`.

    Attributes
    ----------
    added : dict of int to dict
        New masks by number.
    removed : list of int
        Numbers of masks that better ones replaced, or that the final clean-up merged.
    """

    added: dict[int, MaskRecord]
    removed: list[int]


class MaskGenerator:
    """Finds all masks of a photograph.

    Parameters
    ----------
    predictor : Predictor
        The model.
    points_per_side : int or None
        Side of the grid of points. None: `point_grids` are given.
    points_per_batch : int
        Points in one call of the decoder. On a CPU more than one gains little, and each costs about 60 MB.
    pred_iou_thresh : float
        Masks with a lower predicted IoU are dropped.
    stability_score_thresh : float
        Masks with a lower stability (IoU of the mask with its threshold raised and lowered) are dropped.
    stability_score_offset : float
        By how much the threshold is raised and lowered, in logits.
    box_nms_thresh : float
        Of two masks whose boxes overlap with a higher IoU the one with the lower predicted IoU is dropped.
    crop_n_layers : int
        Layers of crops to search as well; layer n has 2ⁿ × 2ⁿ crops.
    crop_nms_thresh : float
        As `box_nms_thresh`, between crops; the mask of the smaller crop stays.
    crop_overlap_ratio : float
        Overlap of crops in the first layer, as a fraction of the photograph's shorter side.
    crop_n_points_downscale_factor : int
        In layer n the grid's side is divided by this to the power of n.
    point_grids : sequence of array_like, (N, 2), optional
        Points for each layer, XY as fractions of width and height, in place of `points_per_side`.
    min_mask_region_area : int
        Holes and islands smaller than this many pixels are removed. 0: none.
    output_mode : str
        ``"binary_mask"`` (arrays), ``"coco_rle"`` or ``"uncompressed_rle"``.
    adaptive : bool
        Leave out points whose answer is known from others. False: ask every point, as the reference does.
    min_mask_area : int
        Masks smaller than this many pixels are dropped.
    mask_nms_thresh : float
        Of two masks that overlap with a higher IoU the one with the lower predicted IoU is dropped. 1: none.
    square : bool
        Encode the padded square, as the reference does. False is faster; see docs/everything.md.
    long_side : int
        See `Predictor.encode`.

    Raises
    ------
    InputError
        An impossible parameter.
    """

    def __init__(
        self,
        predictor: Predictor,
        points_per_side: int | None = 32,
        points_per_batch: int = 1,
        pred_iou_thresh: float = 0.88,
        stability_score_thresh: float = 0.95,
        stability_score_offset: float = 1.0,
        box_nms_thresh: float = 0.7,
        crop_n_layers: int = 0,
        crop_nms_thresh: float = 0.7,
        crop_overlap_ratio: float = 512 / 1500,
        crop_n_points_downscale_factor: int = 1,
        point_grids: Sequence[ArrayLike] | None = None,
        min_mask_region_area: int = 0,
        output_mode: str = "binary_mask",
        *,
        adaptive: bool = True,
        min_mask_area: int = 0,
        mask_nms_thresh: float = 1.0,
        square: bool = True,
        long_side: int = FRAME,
    ) -> None:
        given = locals()
        self.predictor = predictor
        self.settings = Settings(**{field.name: given[field.name] for field in fields(Settings)})
        self._grids = self.settings.grids(point_grids)

    def generate(
        self,
        image: NDArray[np.uint8] | str | Path,
        *,
        valid_mask: ArrayLike | None = None,
        progress: Callable[[Found], object] | None = None,
    ) -> list[MaskRecord]:
        """Find all masks.

        Parameters
        ----------
        image : ndarray of uint8, (height, width, 3), or str or Path
            RGB, or a file.
        valid_mask : array_like of bool or integer, (height, width), optional
            Region of interest. No point outside it is asked, and masks are cut to it.
        progress : callable, optional
            Called with a `Found` after each call of the decoder.

        Returns
        -------
        list of dict
            Best predicted IoU first: ``segmentation`` (see `output_mode`), ``area`` in pixels, ``bbox`` XYWH in
            pixels, ``predicted_iou``, ``stability_score``, ``point_coords`` [[x, y]] in pixels, ``crop_box`` XYWH.

        Raises
        ------
        InputError
            The image cannot be read or is invalid, or `valid_mask` does not fit it.
        """
        pixels, region = _inputs(image, valid_mask)
        candidates: list[Candidate] = []
        for found, kept in Search(self.predictor, self.settings, pixels, region).run(self._grids):
            candidates = kept
            if progress is not None:
                progress(found)
        builder = RecordBuilder(self.settings, pixels.shape[:2], region)
        return [self._output(record) for record in builder.choose(candidates).values()]

    def stream(
        self, image: NDArray[np.uint8] | str | Path, *, valid_mask: ArrayLike | None = None
    ) -> Iterator[tuple[Found, Update]]:
        """Find all masks and yield each one as soon as it is found.

        The masks that were added and not removed are those that `generate` returns.

        Parameters
        ----------
        image, valid_mask
            See `generate`.

        Yields
        ------
        found : Found
        update : Update

        Raises
        ------
        InputError
            See `generate`.
        """
        pixels, region = _inputs(image, valid_mask)
        builder = RecordBuilder(self.settings, pixels.shape[:2], region)
        numbers: dict[Candidate, int] = {}
        shown: set[int] = set()
        for found, candidates in Search(self.predictor, self.settings, pixels, region).run(self._grids):
            for candidate in candidates:
                numbers.setdefault(candidate, len(numbers))
            present = {numbers[candidate]: builder.record(candidate) for candidate in candidates}
            added = {n: self._output(record) for n, record in present.items() if n not in shown and record is not None}
            yield found, Update(added, sorted(shown - set(present)))
            shown = (shown & set(present)) | set(added)
        final = {numbers[candidate] for candidate in builder.choose(candidates)}
        yield found, Update({}, sorted(shown - final))

    def _output(self, record: MaskRecord) -> MaskRecord:
        if self.settings.output_mode == "coco_rle":
            return record
        convert = decode_rle if self.settings.output_mode == "binary_mask" else uncompress_rle
        return record | {"segmentation": convert(record["segmentation"])}


def _inputs(
    image: NDArray[np.uint8] | str | Path, valid_mask: ArrayLike | None
) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    pixels = check_image(read_image(image) if isinstance(image, str | Path) else image)
    return pixels, check_region(valid_mask, (pixels.shape[0], pixels.shape[1]))
