"""The report of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from edge_sam.evaluation.bootstrap import CONFIDENCE, RESAMPLES, Estimate, estimate_mean
from edge_sam.evaluation.stills import ObjectScores
from edge_sam.evaluation.variant import SegmenterFacts

SCHEMA = 1
SIZES = ("small", "medium", "large")


class MaskAgreement(msgspec.Struct, frozen=True):
    """IoU between the masks of two segmenters for the same prompts. 1 means equal masks."""

    mean: float
    worst: float
    masks: int


class ProtocolReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """The scores of one protocol. All scores but the numbers of clicks range from 0 to 1."""

    name: str
    description: str
    scores: dict[str, Estimate]
    by_size: dict[str, Estimate]
    """The main score by the size of the object."""
    against: dict[str, Estimate] | None = None
    """Scores of the second segmenter."""
    difference: dict[str, Estimate] | None = None
    """First minus second segmenter, object by object. The difference is significant if the interval excludes 0."""
    agreement: MaskAgreement | None = None


class DatasetFacts(msgspec.Struct, frozen=True):
    """The dataset of an evaluation."""

    path: str
    layout: str
    photographs: int
    videos: int
    left_out: list[int | float | str] = []
    """Ids of annotations without a mask."""


class EvalReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """The output of `edge-sam eval --json`."""

    schema: int
    version: str
    segmenter: SegmenterFacts
    dataset: DatasetFacts
    protocols: list[ProtocolReport]
    seed: int
    against: SegmenterFacts | None = None
    contact_sheets: dict[str, str] | None = None
    """File of the contact sheet of worst cases, by protocol."""
    confidence: float = msgspec.field(default_factory=lambda: CONFIDENCE)
    resamples: int = msgspec.field(default_factory=lambda: RESAMPLES)


def summarise(rows: Sequence[ObjectScores], description: str, main_score: str, seed: int) -> ProtocolReport:
    """Summarise the scores of one protocol.

    Parameters
    ----------
    rows : sequence of ObjectScores
        At least one. All belong to one protocol.
    description, main_score : str
        See `edge_sam.evaluation.protocols.SinglePrompt`.
    seed : int
        Seed of the bootstrap.
    """
    groups = [row.group for row in rows]
    names = list(rows[0].scores[0])

    def mean(which: int, name: str) -> Estimate:
        return estimate_mean([row.scores[which][name] for row in rows], groups, seed)

    by_size = {}
    for size in SIZES:
        some = [row for row in rows if row.size == size]
        if some:
            values = [row.scores[0][main_score] for row in some]
            by_size[size] = estimate_mean(values, [row.group for row in some], seed)
    against = difference = None
    if len(rows[0].scores) == 2:
        against = {name: mean(1, name) for name in names}
        difference = {
            name: estimate_mean([row.scores[0][name] - row.scores[1][name] for row in rows], groups, seed)
            for name in names
        }
    ious = [value for row in rows for value in row.agreement]
    return ProtocolReport(
        name=rows[0].protocol,
        description=description,
        scores={name: mean(0, name) for name in names},
        by_size=by_size,
        against=against,
        difference=difference,
        agreement=MaskAgreement(sum(ious) / len(ious), min(ious), len(ious)) if ious else None,
    )
