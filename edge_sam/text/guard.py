"""The guard against a matcher that fails in silence: two pictures and two phrases must get two different answers."""

from __future__ import annotations

from typing import Any

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
"""Largest relative difference from the reference runtime's answers, by the precision of the files."""


def run_probe(matcher: Matcher) -> NDArray[np.float32]:
    """Return the answers for two pictures (first axis) and two phrases (second).

    For boxes, scores and boxes of every token; for similarities, the logits.
    """
    if isinstance(matcher, ImageText):
        pictures = [np.asarray(cv2.resize(each, (matcher.side, matcher.side)), np.uint8) for each in _pictures()]
        return matcher.similarity(pictures, PHRASES)[..., None]
    answers = [[_answer(matcher, picture, phrase) for phrase in PHRASES] for picture in _pictures()]
    return np.array(answers, np.float32)


def check_probe(answers: NDArray[np.float32], reference: NDArray[np.float32] | None, precision: str) -> float:
    """Check answers, alone and against those of the reference runtime.

    Returns
    -------
    float
        Relative difference from the reference; 0 without one.

    Raises
    ------
    RuntimeUnavailableError
        They are not finite, are the same for two pictures or two phrases, or differ from the reference.
    """
    if not np.isfinite(answers).all():
        raise RuntimeUnavailableError("its answers to the test pictures are not finite")
    if _difference(answers[0], answers[1]) < _DIFFERENT:
        raise RuntimeUnavailableError("it answers the same for two different pictures")
    if _difference(answers[:, 0], answers[:, 1]) < _DIFFERENT:
        raise RuntimeUnavailableError(
            "it answers the same for two different phrases; the tokenizer may be another one's"
        )
    if reference is None:
        return 0.0
    difference = _difference(answers, reference)
    if difference > BOUND[precision]:
        raise RuntimeUnavailableError(
            f"its answers differ by {difference:.2g} from the reference (allowed for {precision}: {BOUND[precision]:g})"
        )
    return difference


def _answer(matcher: TextBoxes, picture: NDArray[np.uint8], phrase: str) -> NDArray[np.float32]:
    """Return means over all boxes, weighted by their scores: boxes may come in another order in another runtime."""
    found = matcher.find(picture, [phrase], 0.0)
    weights = found.scores.astype(np.float64)
    total = max(float(weights.sum()), 1e-12)
    means = (weights[:, None] * found.boxes).sum(axis=0) / total / max(_SIDES)
    strongest = np.sort(weights)[::-1][:8]
    sums = np.array([weights.mean(), *np.pad(strongest, (0, 8 - len(strongest)))])
    return np.concatenate([means, np.log(np.maximum(sums, 1e-9))]).astype(np.float32)


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
