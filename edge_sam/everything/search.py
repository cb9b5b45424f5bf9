"""The search for masks: crops, points, decoder, filters, suppression of duplicates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_sam.embedding import ImageEmbedding
from edge_sam.everything.candidates import Candidate, CandidateFilter, without_duplicates
from edge_sam.everything.point_queue import PointQueue
from edge_sam.everything.points import Crop, cut
from edge_sam.everything.settings import EverythingSettings
from edge_sam.inference.shape_ranges import MAX_PROMPTS
from edge_sam.predictor import Predictor
from edge_sam.preference import AMBIGUOUS
from edge_sam.prompts import Prompt


@dataclass(frozen=True)
class Found:
    """Progress of a search.

    Attributes
    ----------
    asked : int
        Points asked so far.
    points : int
        Points of the grids of all crops. Adaptive mode does not ask all of them.
    masks : int
        Masks found so far. Better ones may still replace them.
    rejected : mapping of str to int
        Masks rejected so far, by reason: ``predicted_iou``, ``stability``, ``empty`` (outside the valid region),
        ``crop`` (cut off by a crop's edge), ``duplicate``.
    """

    asked: int
    points: int
    masks: int
    rejected: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Search:
    """The search through one photograph.

    Suppressed masks are dropped at once, so memory does not grow with the number of points.

    Parameters
    ----------
    predictor : Predictor
    settings : EverythingSettings
    image : ndarray of uint8, (height, width, 3)
        RGB.
    region : ndarray of bool, (height, width), or None
        Region of interest.
    embedding : ImageEmbedding, optional
        The whole image, encoded with the view of `settings`. Default: it is encoded here, as crops always are.
    rejected : Counter of str
        See `Found`.
    """

    predictor: Predictor
    settings: EverythingSettings
    image: NDArray[np.uint8]
    region: NDArray[np.bool_] | None
    embedding: ImageEmbedding | None = None
    rejected: Counter[str] = field(default_factory=Counter)

    def run(self, grids: Sequence[NDArray[np.float64]]) -> Iterator[tuple[Found, list[Candidate]]]:
        """Ask the points of each layer's grid.

        Yields
        ------
        found : Found
        candidates : list of Candidate
            The masks of all crops found so far.
        """
        height, width = self.image.shape[:2]
        crops = cut((height, width), self.settings.crop_n_layers, self.settings.crop_overlap_ratio)
        points = [_points(grids[crop.layer], crop, self.region) for crop in crops]
        total, asked = sum(map(len, points)), 0
        done: list[Candidate] = []
        for crop, where in zip(crops, points, strict=True):
            count, kept = 0, list[Candidate]()
            for count, kept in self._crop(crop, where):
                yield Found(asked + count, total, len(done) + len(kept), dict(self.rejected)), done + kept
            asked += count
            done += kept
        if not total:
            yield Found(0, 0, 0), []

    def _crop(self, crop: Crop, points: NDArray[np.float64]) -> Iterator[tuple[int, list[Candidate]]]:
        """Yield the number of points asked so far in this crop, and their masks. Count the rejected masks."""
        if not len(points):
            return
        settings, (x0, y0, x1, y1) = self.settings, crop.box
        embedding = self._encoded(crop).cropped()
        self.predictor.release_memory()  # Hundreds of prompts follow, then masks of the photograph's size.
        region = None if self.region is None else self.region[y0:y1, x0:x1]
        candidate_filter = CandidateFilter(
            settings, embedding.geometry, crop, self.image.shape[:2], region, self.rejected
        )
        queue = PointQueue(points, embedding, adaptive=settings.adaptive)
        kept: list[Candidate] = []
        asked = 0
        while len(chosen := queue.next(settings.points_per_batch)):
            prompts = [Prompt(points=[queue.points[i]]) for i in chosen]
            answers = self.predictor.good_masks(embedding, prompts, settings.pred_iou_thresh, MAX_PROMPTS)
            for index, answer in zip(chosen, answers, strict=True):
                self.rejected["predicted_iou"] += len(AMBIGUOUS) - len(answer.scores)
                accepted = list(candidate_filter.accept(*answer, queue.points[index]))
                queue.answered(index, [plane for _, plane in accepted])
                kept += [candidate for candidate, _ in accepted if candidate is not None]
            count = len(kept)
            kept = without_duplicates(kept, settings.box_nms_thresh, lambda candidate: candidate.predicted_iou)
            self.rejected["duplicate"] += count - len(kept)
            asked += len(chosen)
            yield asked, kept

    def _encoded(self, crop: Crop) -> ImageEmbedding:
        if crop.layer == 0 and self.embedding is not None:
            return self.embedding
        x0, y0, x1, y1 = crop.box
        part, settings = self.image[y0:y1, x0:x1], self.settings
        return self.predictor.encode(part, long_side=settings.long_side, square=settings.square)


def _points(grid: NDArray[np.float64], crop: Crop, region: NDArray[np.bool_] | None) -> NDArray[np.float64]:
    """Return the grid points of a crop that lie in the region, (N, 2) XY in pixels of the crop."""
    x0, y0, x1, y1 = crop.box
    points = grid * (x1 - x0, y1 - y0)
    if region is None:
        return points
    x, y = points.astype(np.intp).T
    return np.asarray(points[region[y + y0, x + x0]])
