"""Objects to judge masks by on photographs without known masks: what the exact model itself finds."""

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
"""Objects on one photograph."""
_SURE, _SMALLEST, _SAME = 0.8, 0.002, 0.7
"""Least predicted IoU; least share of the photograph; IoU from which two masks are one object."""


def find_objects(predictor: Predictor, path: Path) -> list[Target]:
    """Segment a grid of points and keep the masks that the model is sure of, one for each object."""
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
    """Make an evaluation's samples of photographs; objects are looked for when one is read."""
    return [Sample(path.name, path.name, path, partial(find_objects, predictor, path)) for path in paths]


@dataclass(frozen=True, eq=False)
class Trial:
    """A photograph, encoded by the exact model, with prompts and the masks that it answers them with."""

    image: NDArray[np.uint8]
    embedding: ImageEmbedding
    prompts: list[Prompt]
    masks: list[Mask]

    def agreement(self, predictor: Predictor, *, encode: bool) -> list[float]:
        """Ask another model the same, or only its decoder; IoU of each mask with the exact one."""
        embedding = predictor.encode(self.image) if encode else self.embedding
        return [iou(*pair) for pair in zip(_masks(predictor, embedding, self.prompts), self.masks, strict=True)]


def make_trials(predictor: Predictor, paths: Sequence[Path], count: int) -> list[Trial]:
    """Ask the exact model for every object of the first `count` photographs on which it finds any, by point and box."""
    trials: list[Trial] = []
    for path in paths:
        if len(trials) == count:
            break
        prompts = []
        for found in find_objects(predictor, path):
            x0, y0, x1, y1 = tight_box(found.truth)
            prompts.append(Prompt(points=[most_interior(found.truth)]))
            prompts.append(Prompt(box=(x0, y0, x1 + 1, y1 + 1)))
        if prompts:
            image = read_image(path)
            embedding = predictor.encode(image)
            trials.append(Trial(image, embedding, prompts, _masks(predictor, embedding, prompts)))
    return trials


def _masks(predictor: Predictor, embedding: ImageEmbedding, prompts: Sequence[Prompt]) -> list[Mask]:
    return [answer.masks[0] for answer in predictor.predict(embedding, prompts, multimask=False, prefer="single")]
