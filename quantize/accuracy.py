"""The accuracy gate: how much accuracy a quantised model loses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_sam.errors import InputError
from edge_sam.evaluation.evaluate import Evaluation
from edge_sam.evaluation.report import ProtocolReport
from edge_sam.evaluation.samples import Dataset
from edge_sam.evaluation.variant import BundleSegmenter
from edge_sam.predictor import Predictor
from edge_sam.quantize.photographs import Photographs
from edge_sam.quantize.reference_masks import as_samples

PROMPTS = ("point", "box")
KNOWN, OWN = "known masks", "the float model's masks"
_LENIENCE = 4
"""How much larger a loss may be against the float model's own masks.

There every difference counts as a loss, even if a point is ambiguous and both masks are right. docs/lab/quantization.md
compares both figures.
"""


@dataclass(frozen=True)
class Accuracy:
    """Accuracy of a quantised model's masks, in points (mIoU × 100).

    Attributes
    ----------
    truth : str
        What the masks were compared with: `KNOWN` or `OWN` masks.
    unseen : bool
        Whether none of the photographs is in the calibration set.
    photographs : int
        Number of photographs.
    miou, float_miou : dict of str to float
        mIoU of the quantised and the float model by prompt, as `edge-sam eval` computes it.
    agreement : dict of str to float
        Mean IoU between both models' masks by prompt.
    """

    truth: str
    unseen: bool
    photographs: int
    miou: dict[str, float]
    float_miou: dict[str, float]
    agreement: dict[str, float]

    def allowed(self, max_drop: float) -> float:
        """Return the allowed loss in points. `max_drop` is the allowed loss against known masks."""
        return max_drop if self.truth == KNOWN else _LENIENCE * max_drop

    @property
    def drop(self) -> float:
        """Points lost by the prompt that loses most."""
        return max(self.float_miou[prompt] - self.miou[prompt] for prompt in self.miou)


@dataclass(frozen=True)
class GroundTruth:
    """Masks to compare with.

    Attributes
    ----------
    name : str
        `KNOWN` or `OWN`.
    data : Dataset
        Photographs with at least one object.
    unseen : bool
        Whether none of them is in the calibration set.
    """

    name: str
    data: Dataset
    unseen: bool


def find_ground_truths(exact: Predictor, photographs: Photographs) -> list[GroundTruth]:
    """Find masks to compare with, before any slow step.

    Parameters
    ----------
    exact : Predictor
        The float model.
    photographs : Photographs
        The photographs to measure on.

    Returns
    -------
    list of GroundTruth
        Known masks, if the folder has any, then objects that the float model finds.

    Raises
    ------
    InputError
        There are no objects.
    """
    calibrated = set(photographs.calibration)
    truths = []
    for name, samples in ((KNOWN, photographs.masked), (OWN, as_samples(exact, photographs.evaluation))):
        if any(target.truth.any() for sample in samples for target in sample.read_targets()):
            data = Dataset(samples[0].image.parent, "", samples)
            truths.append(GroundTruth(name, data, calibrated.isdisjoint(sample.image for sample in samples)))
    if not truths:
        raise InputError(
            f"the float model is confident of no object in any of the {len(photographs.evaluation)} photographs, so"
            " there are no masks to compare; give photographs like those you will segment"
        )
    return truths


def measure_accuracy(
    truth: GroundTruth, exact: Predictor, quantised: Predictor, seed: int, progress: Callable[[], None]
) -> Accuracy:
    """Compare both models' masks for point and box prompts.

    Parameters
    ----------
    truth : GroundTruth
        What to compare with.
    exact, quantised : Predictor
        The float and the quantised model.
    seed : int
        Seed of the evaluation.
    progress : callable
        Called once for each photograph.
    """
    segmenters = [BundleSegmenter(quantised), BundleSegmenter(exact)]
    reports, _ = Evaluation(truth.data, PROMPTS).run(segmenters, seed=seed, worst=0, progress=progress)
    return Accuracy(
        truth.name,
        truth.unseen,
        len(truth.data.samples),
        {report.name: _points(report.scores["iou"].mean) for report in reports},
        {report.name: _points((report.against or {})["iou"].mean) for report in reports},
        {report.name: _agreement(report) for report in reports},
    )


def _agreement(report: ProtocolReport) -> float:
    assert report.agreement is not None
    return _points(report.agreement.mean)


def _points(value: float) -> float:
    return round(100 * value, 4)
