"""The guard against a matcher that fails in silence: two pictures and two phrases must get two different answers."""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import RuntimeUnavailableError
from edge_sam.text.matcher import ImageText, Matcher, TextBoxes

PHRASES = ("a red circle", "a photo of a blue square")
_SIDES = (96, 128)
"""Height and width of the pictures for a detector."""
_DIFFERENT = 1e-5
"""Least relative difference between two answers."""
BOUND = {"fp32": 0.02, "fp16": 0.05, "int8": 0.2, "int4": 0.3}
"""Largest relative difference of the scores from the reference runtime's, by the precision of the files."""
BOX_BOUND = {"fp32": 0.005, "fp16": 0.01, "int8": 0.05, "int4": 0.08}
"""Largest distance of the boxes from the reference runtime's, as a fraction of the picture's longer side."""


class Answers(NamedTuple):
    """Answers for two pictures (first axis) and two phrases (second).

    Attributes
    ----------
    scores : ndarray of float32, (2, 2, N)
        Logarithms of a detector's scores, or the logits of an image-text pair.
    boxes : ndarray of float32, (2, 2, 4)
        Mean box as fractions of the picture's longer side. 0 for an image-text pair.
    """

    scores: NDArray[np.float32]
    boxes: NDArray[np.float32]


def run_probe(matcher: Matcher) -> Answers:
    """Ask a matcher for the two phrases in the two pictures."""
    if isinstance(matcher, ImageText):
        pictures = [np.asarray(cv2.resize(each, (matcher.side, matcher.side)), np.uint8) for each in _pictures()]
        return Answers(matcher.similarity(pictures, PHRASES)[..., None], np.zeros((2, 2, 4), np.float32))
    answers = [[_answer(matcher, picture, phrase) for phrase in PHRASES] for picture in _pictures()]
    return Answers(*(np.array([[each[i] for each in row] for row in answers], np.float32) for i in range(2)))


def probe_bounds(precision: str) -> dict[str, float]:
    """Return the bounds of what `check_probe` returns."""
    return {"scores": BOUND[precision], "boxes": BOX_BOUND[precision]}


def check_probe(answers: Answers, reference: Answers | None, precision: str) -> dict[str, float]:
    """Check answers, alone and against those of the reference runtime.

    Returns
    -------
    dict of str to float
        Relative difference of the ``scores`` from the reference's, and distance of the ``boxes``; 0 without one.

    Raises
    ------
    RuntimeUnavailableError
        They are not finite, are the same for two pictures or two phrases, or differ from the reference.
    """
    joined = np.concatenate(answers, axis=2)
    if not np.isfinite(joined).all():
        raise RuntimeUnavailableError("its answers to the test pictures are not finite")
    if _difference(joined[0], joined[1]) < _DIFFERENT:
        raise RuntimeUnavailableError("it answers the same for two different pictures")
    if _difference(joined[:, 0], joined[:, 1]) < _DIFFERENT:
        raise RuntimeUnavailableError(
            "it answers the same for two different phrases; the tokenizer may be another one's"
        )
    if reference is None:
        return dict.fromkeys(probe_bounds(precision), 0.0)
    difference = _difference(answers.scores, reference.scores)
    if difference > BOUND[precision]:
        raise RuntimeUnavailableError(
            f"its scores differ by {difference:.2g} from the reference (allowed for {precision}: {BOUND[precision]:g})"
        )
    distance = float(np.abs(answers.boxes - reference.boxes).max())
    if distance > BOX_BOUND[precision]:
        raise RuntimeUnavailableError(
            f"its boxes differ by {distance:.2g} of the picture from the reference (allowed for {precision}:"
            f" {BOX_BOUND[precision]:g})"
        )
    return {"scores": difference, "boxes": distance}


def _answer(
    matcher: TextBoxes, picture: NDArray[np.uint8], phrase: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return sums over all boxes, weighted by their scores: boxes may come in another order in another runtime."""
    found = matcher.find(picture, [phrase], 0.0)
    weights = found.scores.astype(np.float64)
    total = max(float(weights.sum()), 1e-12)
    strongest = np.sort(weights)[::-1][:8]
    scores = np.array([weights.mean(), *np.pad(strongest, (0, 8 - len(strongest)))])
    return np.log(np.maximum(scores, 1e-9)), (weights[:, None] * found.boxes).sum(axis=0) / total / max(_SIDES)


def _pictures() -> list[NDArray[np.uint8]]:
    """Draw a red disc on grey, and a blue square on yellow."""
    first = np.full((*_SIDES, 3), 128, np.uint8)
    cv2.circle(first, (40, 50), 26, (200, 40, 40), cv2.FILLED)
    second = np.full((*_SIDES, 3), (220, 200, 60), np.uint8)
    cv2.rectangle(second, (60, 20), (110, 70), (40, 60, 190), cv2.FILLED)
    return [first, second]


def _difference(ours: NDArray[Any], reference: NDArray[Any]) -> float:
    norm = max(float(np.linalg.norm(reference.astype(np.float64))), 1e-12)
    return float(np.linalg.norm(ours.astype(np.float64) - reference) / norm)
