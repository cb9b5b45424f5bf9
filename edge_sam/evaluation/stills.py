"""Running protocols over photographs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_sam.evaluation.protocols import Protocol, Segmenter, Trial
from edge_sam.evaluation.samples import Sample, Target
from edge_sam.imaging.masks import iou


@dataclass(frozen=True)
class Row:
    """The scores of one object under one protocol.

    Attributes
    ----------
    sample, target : str
        The photograph (or video) and the object on it.
    group : str
        What it is drawn with in the bootstrap.
    size : str
        ``small``, ``medium`` or ``large``; empty where size has no meaning.
    protocol : str
        The protocol's name.
    scores : sequence of dict of str to float
        For each segmenter its scores by name.
    agreement : sequence of float
        IoU of each mask of the first segmenter with the nearest of the second; empty where that has no meaning.
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
    """One object under one protocol with all its pixels, for who wants to draw it before it is forgotten."""

    row: Row
    protocol: Protocol
    image: NDArray[np.uint8]
    target: Target
    trials: Sequence[Trial]


def evaluate_sample(
    segmenters: Sequence[Segmenter], protocols: Iterable[Protocol], sample: Sample, look: Callable[[Case], None]
) -> list[Row]:
    """Run every protocol on every object of one photograph.

    Parameters
    ----------
    segmenters : sequence of Segmenter
        One, or two that are compared; each encodes the photograph once.
    protocols : iterable of Protocol
        What to ask.
    sample : Sample
        The photograph. Objects without a pixel are left out.
    look : callable
        Is shown every case.

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
            trials = [protocol.run(ask, target) for ask in asks]
            row = Row(
                sample.name,
                target.name,
                sample.group,
                target.size,
                protocol.name,
                [trial.scores for trial in trials],
                _agreement(trials) if protocol.one_prompt and len(trials) == 2 else (),
            )
            look(Case(row, protocol, image, target, trials))
            rows.append(row)
    return rows


def _agreement(trials: Sequence[Trial]) -> list[float]:
    """Nearest, because masks of equal predicted IoU change places."""
    ours, theirs = (trial.masks for trial in trials)
    return [max(iou(mask, other) for other in theirs) for mask in ours]
