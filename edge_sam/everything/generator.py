"""All masks of a photograph: ask a grid of points, keep the good masks, drop duplicates.

The procedure and the names of its parameters come from the Segment Anything paper (arXiv 2304.02643, appendix B) and
its reference generator. One thing is new: points whose answer is already known are not asked (`point_queue`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_sam.embedding import ImageEmbedding
from edge_sam.errors import InputError
from edge_sam.everything.candidates import Candidate
from edge_sam.everything.records import MaskRecord, RecordBuilder
from edge_sam.everything.search import Found, Search
from edge_sam.everything.settings import EverythingSettings
from edge_sam.imaging.images import read_image
from edge_sam.imaging.masks import decode_rle, uncompress_rle
from edge_sam.imaging.preprocess import check_image
from edge_sam.imaging.region import check_region
from edge_sam.predictor import Predictor

OUTPUT_MODES = ("binary_mask", "coco_rle", "uncompressed_rle")


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


@dataclass(frozen=True, eq=False)
class MaskGenerator(EverythingSettings):
    """Finds all masks of a photograph.

    Takes every field of `EverythingSettings` as a keyword: those of `Grid`, `Thresholds` and `View`.

    Parameters
    ----------
    predictor : Predictor
        The model.
    point_grids : sequence of array_like, (N, 2), optional
        Points for each layer, XY as fractions of width and height, in place of `points_per_side`, which is then None.
    output_mode : str
        ``"binary_mask"`` (arrays), ``"coco_rle"`` or ``"uncompressed_rle"``.

    Raises
    ------
    InputError
        A setting is impossible.
    """

    predictor: Predictor
    point_grids: Sequence[ArrayLike] | None = field(default=None, kw_only=True)
    output_mode: str = field(default="binary_mask", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.output_mode not in OUTPUT_MODES:
            raise InputError(f"output_mode {self.output_mode!r} is not one of {', '.join(OUTPUT_MODES)}")
        self.layers(self.point_grids)

    def generate(
        self,
        image: NDArray[np.uint8] | str | Path,
        *,
        valid_mask: ArrayLike | None = None,
        embedding: ImageEmbedding | None = None,
        progress: Callable[[Found], object] | None = None,
    ) -> list[MaskRecord]:
        """Find all masks.

        Parameters
        ----------
        image : ndarray of uint8, (height, width, 3), or str or Path
            RGB, or a file.
        valid_mask : array_like of bool or integer, (height, width), optional
            Region of interest. No point outside it is asked, and masks are cut to it.
        embedding : ImageEmbedding, optional
            The image, encoded by this predictor with the same `long_side` and `square`. Default: it is encoded here.
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
            The image cannot be read or is invalid, or `valid_mask` or `embedding` does not fit it.
        """
        search = self._search(image, valid_mask, embedding)
        candidates: list[Candidate] = []
        for found, kept in search.run(self.layers(self.point_grids)):
            candidates = kept
            if progress is not None:
                progress(found)
        builder = RecordBuilder(self, search.image.shape[:2], search.region)
        return [self._output(record) for record in builder.choose(candidates).values()]

    def stream(
        self,
        image: NDArray[np.uint8] | str | Path,
        *,
        valid_mask: ArrayLike | None = None,
        embedding: ImageEmbedding | None = None,
    ) -> Iterator[tuple[Found, Update]]:
        """Find all masks and yield each one as soon as it is found.

        The masks that were added and not removed are those that `generate` returns.

        Parameters
        ----------
        image, valid_mask, embedding
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
        search = self._search(image, valid_mask, embedding)
        builder = RecordBuilder(self, search.image.shape[:2], search.region)
        numbers: dict[Candidate, int] = {}
        shown: set[int] = set()
        for found, candidates in search.run(self.layers(self.point_grids)):
            for candidate in candidates:
                numbers.setdefault(candidate, len(numbers))
            present = {numbers[candidate]: builder.record(candidate) for candidate in candidates}
            added = {n: self._output(record) for n, record in present.items() if n not in shown and record is not None}
            yield found, Update(added, sorted(shown - set(present)))
            shown = (shown & set(present)) | set(added)
        final = {numbers[candidate] for candidate in builder.choose(candidates)}
        yield found, Update({}, sorted(shown - final))

    def _search(
        self,
        image: NDArray[np.uint8] | str | Path,
        valid_mask: ArrayLike | None,
        embedding: ImageEmbedding | None,
    ) -> Search:
        pixels = check_image(read_image(image) if isinstance(image, str | Path) else image)
        size = (pixels.shape[0], pixels.shape[1])
        if embedding is not None:
            self.predictor.check_embedding(embedding)
            geometry, wanted = embedding.geometry, self.predictor.bundle.contract.view(self.long_side, self.square)
            if (geometry.image_size, (geometry.long_side, geometry.square)) != (size, wanted):
                raise InputError("the embedding is of another image, or was made with another long_side or square")
        return Search(self.predictor, self, pixels, check_region(valid_mask, size), embedding)

    def _output(self, record: MaskRecord) -> MaskRecord:
        if self.output_mode == "coco_rle":
            return record
        convert = decode_rle if self.output_mode == "binary_mask" else uncompress_rle
        return record | {"segmentation": convert(record["segmentation"])}
