"""The accuracy gate: how much worse a quantised model's masks are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_sam.evaluation.report import ProtocolReport
from edge_sam.evaluation.run import Evaluation
from edge_sam.evaluation.samples import Dataset
from edge_sam.predictor import Predictor
from edge_sam.quantize.objects import as_samples
from edge_sam.quantize.photographs import Photographs
from edge_sam.variant import BundleSegmenter

PROMPTS = ("point", "box")
KNOWN, OWN = "known masks", "the float model's masks"
_LENIENCE = 4
"""How much more may be lost against the float model's own masks.

There every difference counts as a loss, also where a point could mean two things and both answers are right.
docs/quantization.md has both figures side by side.
"""


@dataclass(frozen=True)
class Accuracy:
    """What the masks of a quantised model are worth, in points (mIoU × 100).

    Attributes
    ----------
    truth : str
        What they were compared with: `KNOWN` or `OWN` masks.
    photographs : int
        How many were looked at.
    miou, float_miou : dict of str to float
        By prompt, of the quantised and of the float model, as `edge-sam eval` scores them.
    agreement : dict of str to float
        By prompt, mean IoU between the masks of both.
    """

    truth: str
    photographs: int
    miou: dict[str, float]
    float_miou: dict[str, float]
    agreement: dict[str, float]

    def allowed(self, max_drop: float) -> float:
        """Return how many points may be lost here, where `max_drop` may be against known masks."""
        return max_drop if self.truth == KNOWN else _LENIENCE * max_drop

    @property
    def drop(self) -> float:
        """Points lost, with the prompts that lose most."""
        return max(self.float_miou[prompt] - self.miou[prompt] for prompt in self.miou)


def judge(
    exact: Predictor, quantised: Predictor, photographs: Photographs, seed: int, progress: Callable[[], None]
) -> list[Accuracy]:
    """Compare both models' masks, by point and by box.

    Parameters
    ----------
    exact, quantised : Predictor
        The float model, and what became of it.
    photographs : Photographs
        Those to judge by.
    seed : int
        Of the evaluation.
    progress : callable
        Called once for each photograph.

    Returns
    -------
    list of Accuracy
        With objects that the float model itself finds; before that with known masks, where the folder has any.
    """
    found = as_samples(exact, photographs.judged)
    sets = [(KNOWN, photographs.masked), (OWN, found)]
    return [
        _judge(truth, Dataset(samples[0].image.parent, "", samples), exact, quantised, seed, progress)
        for truth, samples in sets
        if samples
    ]


def _judge(
    truth: str, data: Dataset, exact: Predictor, quantised: Predictor, seed: int, progress: Callable[[], None]
) -> Accuracy:
    segmenters = [BundleSegmenter(quantised), BundleSegmenter(exact)]
    reports, _ = Evaluation(data, PROMPTS).run(segmenters, seed=seed, worst=0, progress=progress)
    return Accuracy(
        truth,
        len(data.samples),
        {report.name: _points(report.scores["iou"].mean) for report in reports},
        {report.name: _points((report.against or {})["iou"].mean) for report in reports},
        {report.name: _agreement(report) for report in reports},
    )


def _agreement(report: ProtocolReport) -> float:
    assert report.agreement is not None
    return _points(report.agreement.mean)


def _points(value: float) -> float:
    return round(100 * value, 4)
