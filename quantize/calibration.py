"""Collect statistics of a model's activations while it segments the calibration set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from edge_sam.bundles.contract import Role
from edge_sam.imaging.images import read_image
from edge_sam.predictor import Predictor
from edge_sam.prompts import Prompt
from edge_sam.quantize.graph import layers
from edge_sam.quantize.observers import ActivationStatistics
from edge_sam.quantize.sessions import ROLES, ObservingSession

_POINTS, _BOXES = 4, 4
"""Number of point and box prompts for each photograph."""


def collect_statistics(
    exact: Predictor,
    graphs: Mapping[Role, ModelProto],
    photographs: Sequence[Path],
    seed: int,
    progress: Callable[[], None],
) -> dict[Role, dict[str, ActivationStatistics]]:
    """Segment every photograph with points, boxes and a mask, and record the inputs of each layer.

    Parameters
    ----------
    exact : Predictor
        The float model.
    graphs : mapping of str to ModelProto
        Graphs of its encoder and decoder.
    photographs : sequence of Path
        The calibration set; every file must be readable.
    seed : int
        Seed of the prompts and of the samples.
    progress : callable
        Called once for each photograph.

    Returns
    -------
    dict of str to dict of str to ActivationStatistics
        By component and tensor.
    """
    observing = {role: ObservingSession(graphs[role], _layer_inputs(graphs[role]), seed) for role in ROLES}
    predictor = Predictor(exact.model.replaced(observing))
    draw = np.random.default_rng(seed)
    for path in photographs:
        image = read_image(path)
        embedding = predictor.encode(image)
        for prompt in prompts(image, draw):
            result = predictor.predict(embedding, prompt)
        # Annotators refine a mask by feeding the low-res logits back.
        predictor.predict(embedding, Prompt(points=[_point(image, draw)], mask=result.logits[0]))
        progress()
    return {role: session.statistics for role, session in observing.items()}


def _layer_inputs(graph: ModelProto) -> list[str]:
    return list(dict.fromkeys(layer.node.input[0] for layer in layers(graph)))


def prompts(image: NDArray[np.uint8], draw: np.random.Generator) -> Iterator[Prompt]:
    """Draw random prompts: a point, a positive and a negative point, a box, and a box with a point inside."""
    for i in range(_POINTS):
        first, second = _point(image, draw), _point(image, draw)
        yield Prompt(points=[first, second][: 1 + i % 2], labels=[1, 0][: 1 + i % 2])
    for i in range(_BOXES):
        (x0, x1), (y0, y1) = (np.sort(pair) for pair in zip(_point(image, draw), _point(image, draw), strict=True))
        box = (x0, y0, x1 + 1, y1 + 1)
        yield Prompt(points=[((x0 + x1) / 2, (y0 + y1) / 2)] if i % 2 else None, box=box)


def _point(image: NDArray[np.uint8], draw: np.random.Generator) -> tuple[float, float]:
    height, width = image.shape[:2]
    x, y = draw.uniform(0, (width - 1, height - 1))
    return float(x), float(y)
