"""Protocols run on photographs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_sam.evaluation.protocols import Prediction, Protocol, Segmenter
from edge_sam.evaluation.samples import Sample, Target
from edge_sam.imaging.masks import iou


@dataclass(frozen=True)
class ObjectScores:
    """The scores of one object under one protocol.

    Attributes
    ----------
    sample, target : str
        The photograph or video, and the object on it.
    group : str
        Its group in the bootstrap.
    size : str
        ``small``, ``medium`` or ``large``. Empty for videos.
    protocol : str
        The protocol's name.
    scores : sequence of dict of str to float
        Scores by name, one dict for each segmenter.
    agreement : sequence of float
        IoU of each mask of the first segmenter with the most similar mask of the second. Empty if their prompts differ.
    """

    sample: str
    target: str
    group: str
    size: str
    protocol: str
    scores: Sequence[dict[str, float]]
    agreement: Sequence[float] = ()


@dataclass(frozen=True, eq=False)
class Case:
    """One object under one protocol, with the pixels and masks needed to draw it."""

    row: ObjectScores
    protocol: Protocol
    image: NDArray[np.uint8]
    target: Target
    predictions: Sequence[Prediction]


def evaluate_sample(
    segmenters: Sequence[Segmenter], protocols: Iterable[Protocol], sample: Sample, look: Callable[[Case], None]
) -> list[ObjectScores]:
    """Run every protocol on every object of one photograph.

    Parameters
    ----------
    segmenters : sequence of Segmenter
        One, or two to compare. Each encodes the photograph once.
    protocols : iterable of Protocol
    sample : Sample
        The photograph. Objects without pixels are skipped.
    look : callable
        Called with each case.

    Raises
    ------
    InputError
        The photograph or its masks cannot be used.
    """
    image, targets = sample.load()
    targets = [target for target in targets if target.truth.any()]
    asks = [segmenter.encode(image) for segmenter in segmenters] if targets else []
    rows = []
    for protocol in protocols:
        for target in targets:
            predictions = [protocol.run(ask, target) for ask in asks]
            row = ObjectScores(
                sample.name,
                target.name,
                sample.group,
                target.size,
                protocol.name,
                [prediction.scores for prediction in predictions],
                _agreement(predictions) if protocol.one_prompt and len(predictions) == 2 else (),
            )
            look(Case(row, protocol, image, target, predictions))
            rows.append(row)
    return rows


def _agreement(predictions: Sequence[Prediction]) -> list[float]:
    """Match each mask to the most similar one, because masks of equal predicted IoU may swap places."""
    ours, theirs = (prediction.masks for prediction in predictions)
    return [max(iou(mask, other) for other in theirs) for mask in ours]
