"""Named protocols: how to prompt a model for an object, and how to score its masks."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol as TypingProtocol

import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import InputError
from edge_sam.evaluation.clicks import next_click, random_interior, tight_box
from edge_sam.evaluation.metrics import Mask, boundary_iou
from edge_sam.evaluation.samples import Target
from edge_sam.evaluation.variant import Ask, SegmenterFacts, Wanted
from edge_sam.imaging.masks import iou, most_interior
from edge_sam.prompts import Prompt

NOC_IOUS = (0.85, 0.90)
"""IoU thresholds of the number of clicks (NoC) in the literature."""
MAX_CLICKS = 20


class Segmenter(TypingProtocol):
    """Anything that answers prompts on photographs."""

    @property
    def facts(self) -> SegmenterFacts:
        """Its model and settings, for reports."""

    def encode(self, image: NDArray[np.uint8]) -> Ask:
        """Encode a photograph, (height, width, 3) RGB. The returned function is valid until the next call."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """A segmenter's answer for one object, with its scores.

    Attributes
    ----------
    scores : dict of str to float
        By name.
    prompt : Prompt
        The last prompt.
    masks : ndarray of bool, (N, height, width)
        Best first.
    """

    scores: dict[str, float]
    prompt: Prompt
    masks: NDArray[np.bool_]


@dataclass(frozen=True)
class SinglePrompt:
    """One prompt made from the ground truth.

    Scores: ``iou`` and ``boundary_iou`` of the first mask. With three masks also ``oracle``, the best IoU among them
    (arXiv 2304.02643, section 7.1); the first mask is then the one with the best predicted IoU.

    Attributes
    ----------
    name, description : str
        Its name on the command line, and what it does in one sentence.
    make_prompt : callable
        Makes the prompt from an object's true mask.
    wanted : Wanted
        The masks to return.
    main_score : str
        The score that ranks the worst cases and is reported by size.
    one_prompt : bool
        Whether all models get the same prompt, so that their masks can be compared with each other.
    """

    name: str
    description: str
    make_prompt: Callable[[Mask], Prompt]
    wanted: Wanted
    main_score: str = "iou"
    one_prompt: bool = True

    def run(self, ask: Ask, target: Target) -> Prediction:
        """Prompt for an object that has at least one pixel."""
        prompt = self.make_prompt(target.truth)
        masks = ask(prompt, self.wanted).masks
        ious = [iou(mask, target.truth, target.valid) for mask in masks]
        scores = {"iou": ious[0], "boundary_iou": boundary_iou(masks[0], target.truth, target.valid)}
        if self.wanted == "three":
            scores["oracle"] = max(ious)
        return Prediction(scores, prompt, masks)


@dataclass(frozen=True)
class Clicks:
    """A sequence of clicks, each on the largest remaining error (`next_click`).

    The segmenter answers each click with its default mask. From the second click on, the prompt includes the low-res
    logits of the last answer, as in SAM's training (arXiv 2304.02643, appendix A). Scores: ``iou@k`` after each click,
    and ``noc@85`` and ``noc@90``, the clicks needed for that IoU. An object that never reaches it counts with all
    clicks (arXiv 2102.06583, section 5). The attributes are those of `SinglePrompt`.
    """

    name: str
    description: str
    main_score: str
    count: int
    one_prompt: bool = False

    def run(self, ask: Ask, target: Target) -> Prediction:
        """Prompt for an object that has at least one pixel."""
        points, labels = [most_interior(target.truth)], [1]
        prompt = Prompt(points=points, labels=labels)
        answer = ask(prompt, "default")
        ious = [iou(answer.masks[0], target.truth, target.valid)]
        while len(ious) < self.count:
            click = next_click(answer.masks[0], target.truth, target.valid, points)
            if click is not None:
                points.append(click[0])
                labels.append(click[1])
                prompt = Prompt(points=points, labels=labels, mask=answer.logits[0])
                answer = ask(prompt, "default")
            ious.append(iou(answer.masks[0], target.truth, target.valid))
        scores = {f"iou@{k}": value for k, value in enumerate(ious, start=1)}
        for threshold in NOC_IOUS:
            scores[f"noc@{threshold * 100:.0f}"] = _clicks_needed(ious, threshold)
        return Prediction(scores, prompt, answer.masks[:1])


Protocol = SinglePrompt | Clicks


def _clicks_needed(ious: Sequence[float], threshold: float) -> float:
    return float(next((k for k, value in enumerate(ious, start=1) if value >= threshold), len(ious)))


def click_prompt(truth: Mask) -> Prompt:
    """Return a click on an object's most interior pixel."""
    return Prompt(points=[most_interior(truth)])


def _random_click(truth: Mask) -> Prompt:
    return Prompt(points=[random_interior(truth)])


def _box_centre(truth: Mask) -> Prompt:
    x0, y0, x1, y1 = tight_box(truth)
    return Prompt(points=[((x0 + x1) / 2, (y0 + y1) / 2)])


def box_prompt(truth: Mask) -> Prompt:
    """Make the tight box of an object. A side of one pixel is extended by one, because a box must not be empty."""
    x0, y0, x1, y1 = tight_box(truth)
    return Prompt(box=(x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)))


_SINGLE = (
    SinglePrompt("point", "one click on the object's most interior pixel, three masks", click_prompt, "three"),
    SinglePrompt("click", "one click on the object's most interior pixel, the mask shown", click_prompt, "default"),
    SinglePrompt(
        "click-random", "one click on a random pixel well inside the object, the mask shown", _random_click, "default"
    ),
    SinglePrompt("box-centre", "one click on the centre of the object's box, three masks", _box_centre, "three"),
    SinglePrompt("box", "the object's tight box, the single mask (token 0)", box_prompt, "single"),
    SinglePrompt("box-shown", "the object's tight box, the mask shown", box_prompt, "default"),
)


def find_protocol(name: str) -> Protocol:
    """Find a protocol by its name: one of `_SINGLE`, or ``Kpoints`` for K clicks.

    Raises
    ------
    InputError
        No protocol has that name.
    """
    for protocol in _SINGLE:
        if protocol.name == name:
            return protocol
    clicks = re.fullmatch(r"([0-9]{1,2})points", name)
    if clicks and 1 <= (count := int(clicks[1])) <= MAX_CLICKS:
        description = f"{count} clicks, each on the largest remaining error; NoC counts at most {count}"
        return Clicks(f"{count}points", description, f"iou@{count}", count)
    known = ", ".join(protocol.name for protocol in _SINGLE)
    raise InputError(f"unknown prompts {name!r}; known: {known}, 1points to {MAX_CLICKS}points, video-box, video-track")
