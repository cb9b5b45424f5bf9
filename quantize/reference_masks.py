"""Objects that the float model finds, as reference masks for photographs without known masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_sam.embedding import ImageEmbedding
from edge_sam.evaluation.clicks import tight_box
from edge_sam.evaluation.metrics import Mask
from edge_sam.evaluation.samples import Sample, Target
from edge_sam.imaging.images import read_image
from edge_sam.imaging.masks import iou, most_interior
from edge_sam.predictor import Predictor
from edge_sam.prompts import Prompt

_GRID = (0.2, 0.4, 0.6, 0.8)
_MOST = 6
"""Most objects of one photograph."""
_SURE, _SMALLEST, _SAME = 0.8, 0.002, 0.7
"""Smallest predicted IoU, smallest fraction of the photograph, and IoU above which two masks are one object."""


def find_objects(predictor: Predictor, path: Path) -> list[Target]:
    """Segment a grid of points and keep the confident masks, one for each object."""
    image = read_image(path)
    height, width = image.shape[:2]
    grid = [Prompt(points=[(x * width, y * height)]) for y in _GRID for x in _GRID]
    results = predictor.predict(predictor.encode(image), grid)
    kept: list[Mask] = []
    for result in sorted(results, key=lambda result: -float(result.scores[0])):
        mask = result.masks[0]
        new = all(iou(mask, other) < _SAME for other in kept)
        if result.scores[0] >= _SURE and mask.mean() >= _SMALLEST and new and len(kept) < _MOST:
            kept.append(mask)
    return [Target(str(i), mask, np.ones_like(mask)) for i, mask in enumerate(kept)]


def as_samples(predictor: Predictor, paths: Sequence[Path]) -> list[Sample]:
    """Make samples of photographs. Their objects are searched when a sample is read."""
    return [Sample(path.name, path.name, path, partial(find_objects, predictor, path)) for path in paths]


@dataclass(frozen=True, eq=False)
class RankingSample:
    """A photograph with the float model's image embedding, and prompts with the float model's masks."""

    image: NDArray[np.uint8]
    embedding: ImageEmbedding
    prompts: list[Prompt]
    masks: list[Mask]

    def agreement(self, predictor: Predictor, *, encode: bool) -> list[float]:
        """Return the IoU of another model's masks with the float model's, encoding again or only decoding."""
        embedding = predictor.encode(self.image) if encode else self.embedding
        return [iou(*pair) for pair in zip(_masks(predictor, embedding, self.prompts), self.masks, strict=True)]


def ranking_samples(predictor: Predictor, paths: Sequence[Path], count: int) -> list[RankingSample]:
    """Prompt the float model by point and box for every object of the first `count` photographs that have any."""
    samples: list[RankingSample] = []
    for path in paths:
        if len(samples) == count:
            break
        prompts = []
        for found in find_objects(predictor, path):
            x0, y0, x1, y1 = tight_box(found.truth)
            prompts.append(Prompt(points=[most_interior(found.truth)]))
            prompts.append(Prompt(box=(x0, y0, x1 + 1, y1 + 1)))
        if prompts:
            image = read_image(path)
            embedding = predictor.encode(image)
            samples.append(RankingSample(image, embedding, prompts, _masks(predictor, embedding, prompts)))
    return samples


def _masks(predictor: Predictor, embedding: ImageEmbedding, prompts: Sequence[Prompt]) -> list[Mask]:
    return [result.masks[0] for result in predictor.predict(embedding, prompts, multimask=False, prefer="single")]
