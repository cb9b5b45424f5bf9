"""The choice of one of the decoder's masks.

The decoder returns four masks for each prompt: token 0, trained for unambiguous prompts, and three for ambiguous ones:
roughly the whole object, a part and a subpart. The predicted IoU of the three tells how well each fits *something*, but
not what the user means. docs/lab/one-click.md has the measurements behind the rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import InputError
from edge_sam.imaging.masks import iou
from edge_sam.prompts import Prompt

Preference = Literal["auto", "object", "best", "part", "single"]
"""``object``: the largest of the masks whose predicted IoU is close to the best; ``part``: the smallest of them;
``best``: the mask with the best predicted IoU; ``single``: token 0, as in the reference implementation;
``auto``: the rule that suits the kind of prompt (`suitable`)."""
Rule = Literal["object", "best", "part", "single", "refined"]
"""A preference, or ``refined``: a mask that fits well and resembles the mask of the prompt."""

SINGLE = 0
"""Index of token 0's mask."""
AMBIGUOUS = (1, 2, 3)
"""Indices of the three masks for an ambiguous prompt."""

CLEAR = 5
"""Points that leave no doubt about the object if they refine a mask."""
RESEMBLANCE = 0.5
"""Weight of the IoU with the prompt's mask for ``refined``, where predicted IoU weighs 1."""
_STEADY_OFFSET = 0.05
"""Logits by which the threshold is raised and lowered to measure the stability of token 0's mask."""


@dataclass(frozen=True)
class Bounds:
    """Limits on the masks that can be the object.

    Attributes
    ----------
    margin : float
        Largest distance from the best predicted IoU of a mask that counts for ``object`` and ``part``.
    min_area : float
        Smallest fraction of the photograph for a mask to be preferred for its size. Smaller masks often lie in a crowd
        of similar objects, such as cells under a microscope, and the larger mask is a clump of several.
    max_outline : float
        Largest fraction of the photograph's outline that an object may touch. A mask that touches more is background.
    """

    margin: float = 0.06
    min_area: float = 0.01
    max_outline: float = 0.2


BOUNDS = Bounds()


def with_steady_single(
    logits: NDArray[np.float32], scores: NDArray[np.float32], least: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Replace token 0's mask by the best of the three if it is not stable, as SAM 2's own predictor does.

    Parameters
    ----------
    logits : ndarray of float32, (4, rows, columns)
        Low-res logits.
    scores : ndarray of float32, (4,)
        Predicted IoU.
    least : float
        Lowest stability of token 0's mask, 0 to 1; see `edge_sam.imaging.masks.stability`. An empty mask is stable.

    Returns
    -------
    logits, scores
        As given if the mask is stable, else changed copies.
    """
    single = logits[SINGLE]
    if np.count_nonzero(single > _STEADY_OFFSET) >= least * np.count_nonzero(single > -_STEADY_OFFSET):
        return logits, scores
    order = [max(AMBIGUOUS, key=lambda i: scores[i]), *AMBIGUOUS]
    return logits[order], scores[order]


def check_preference(prefer: object) -> Preference:
    """Return `prefer` if it is a `Preference`, else raise `InputError`."""
    if prefer not in get_args(Preference):
        raise InputError(f"unknown preference {prefer!r}; known: {', '.join(get_args(Preference))}")
    return cast(Preference, prefer)


def suitable(prompt: Prompt) -> Rule:
    """Return the rule that ``auto`` stands for.

    Points alone select the object. A box shows the object's size, which selects the best fit. Points that refine a mask
    change a part of it, so the new mask resembles the old one. Token 0 was trained for prompts without doubt, such as a
    mask with five points or more, and for a mask alone.
    """
    if prompt.box is not None:
        return "best"
    if prompt.mask is None:
        return "object"
    return "refined" if prompt.points is not None and 0 < len(prompt.points) < CLEAR else "single"


def choose(
    logits: NDArray[np.float32],
    scores: NDArray[np.float32],
    prefer: Preference | Rule,
    prompt: Prompt,
    bounds: Bounds = BOUNDS,
) -> int:
    """Choose one of the decoder's four masks.

    Parameters
    ----------
    logits : ndarray of float32, (4, rows, columns)
        Low-res logits of the photograph's cells.
    scores : ndarray of float32, (4,)
        Predicted IoU.
    prefer : Preference
    prompt : Prompt
        Determines what ``auto`` means.
    bounds : Bounds
        For ``object`` and ``part``.

    Returns
    -------
    int
        Index into `logits`.
    """
    rule = suitable(prompt) if prefer == "auto" else prefer
    if rule == "single":
        return SINGLE
    if rule == "refined" and prompt.mask is not None:
        return _refined(logits > 0, scores, prompt.mask > 0)
    best = max(AMBIGUOUS, key=lambda i: scores[i])
    if rule == "best":
        return best
    close = [i for i in AMBIGUOUS if scores[i] >= scores[best] - bounds.margin]
    if len(close) == 1:
        return best
    masks = {i: logits[i] > 0 for i in close}
    areas = {i: np.count_nonzero(mask) for i, mask in masks.items()}
    if rule == "part":
        return min((i for i in close if areas[i]), key=areas.__getitem__, default=best)
    large = (i for i in close if areas[i] >= bounds.min_area * masks[i].size)
    objects = (i for i in large if _touched(masks[i]) <= bounds.max_outline)
    return max([best, *objects], key=areas.__getitem__)


def _refined(masks: NDArray[np.bool_], scores: NDArray[np.float32], before: NDArray[np.bool_]) -> int:
    """Return the index of the mask with the best sum of predicted IoU and resemblance to the mask before."""
    _, rows, columns = masks.shape
    alike = [iou(mask, before[:rows, :columns]) for mask in masks]
    return int(np.argmax(scores + RESEMBLANCE * np.array(alike)))


def _touched(mask: NDArray[np.bool_]) -> float:
    """Return the fraction of the photograph's outline that a (rows, columns) mask touches."""
    edges = (mask[0], mask[-1], mask[:, 0], mask[:, -1])
    return float(sum(np.count_nonzero(edge) for edge in edges) / sum(edge.size for edge in edges))
