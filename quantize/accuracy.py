"""The accuracy gate: how much worse a quantised model's masks are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_sam.errors import InputError
from edge_sam.evaluation.evaluate import Evaluation
from edge_sam.evaluation.report import ProtocolReport
from edge_sam.evaluation.samples import Dataset
from edge_sam.evaluation.variant import BundleSegmenter
from edge_sam.predictor import Predictor
from edge_sam.quantize.objects import as_samples
from edge_sam.quantize.photographs import Photographs

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
    unseen : bool
        Whether that was on photographs that were not calibrated with.
    photographs : int
        How many were looked at.
    miou, float_miou : dict of str to float
        By prompt, of the quantised and of the float model, as `edge-sam eval` scores them.
    agreement : dict of str to float
        By prompt, mean IoU between the masks of both.
    """

    truth: str
    unseen: bool
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


@dataclass(frozen=True)
class Truth:
    """Masks to compare with.

    Attributes
    ----------
    name : str
        `KNOWN` or `OWN`.
    data : Dataset
        Photographs, with an object on one of them at least.
    unseen : bool
        Whether none of them was calibrated with.
    """

    name: str
    data: Dataset
    unseen: bool


def find_truths(exact: Predictor, photographs: Photographs) -> list[Truth]:
    """Find out what there is to judge by, before anything else takes time.

    Parameters
    ----------
    exact : Predictor
        The float model.
    photographs : Photographs
        Those to judge by.

    Returns
    -------
    list of Truth
        Objects that the float model itself finds; before them known masks, where the folder has any.

    Raises
    ------
    InputError
        Neither shows an object.
    """
    calibrated = set(photographs.calibration)
    truths = []
    for name, samples in ((KNOWN, photographs.masked), (OWN, as_samples(exact, photographs.judged))):
        if any(target.truth.any() for sample in samples for target in sample.read_targets()):
            data = Dataset(samples[0].image.parent, "", samples)
            truths.append(Truth(name, data, calibrated.isdisjoint(sample.image for sample in samples)))
    if not truths:
        raise InputError(
            f"the float model is sure of no object in any of the {len(photographs.judged)} photographs to judge by, so"
            " there is nothing to compare masks on; take photographs of what will be segmented"
        )
    return truths


def judge(truth: Truth, exact: Predictor, quantised: Predictor, seed: int, progress: Callable[[], None]) -> Accuracy:
    """Compare both models' masks, by point and by box.

    Parameters
    ----------
    truth : Truth
        What to compare them with.
    exact, quantised : Predictor
        The float model, and what became of it.
    seed : int
        Of the evaluation.
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
