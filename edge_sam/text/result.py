"""Masks with the words that found them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_sam.everything.records import MaskRecord
from edge_sam.prompts import Prompt
from edge_sam.result import Result


@dataclass(frozen=True, eq=False)
class WordPrompt:
    """A place that words describe.

    Attributes
    ----------
    prompt : Prompt
        The matcher's box; for an image-text pair, the box and the middle of the mask.
    word : str
        The text.
    score : float
        How well it fits, 0 to 1.
    record : dict, optional
        For an image-text pair: the mask that was compared; see `edge_sam.MaskGenerator.generate`.
    """

    prompt: Prompt
    word: str
    score: float
    record: MaskRecord | None = None


@dataclass(frozen=True, eq=False)
class TextResult(Result):
    """The masks that words found, best score first. Without any, the object is not in the photograph.

    The other attributes are those of `Result`; `timings` has ``match`` too, the milliseconds of the matcher.

    Attributes
    ----------
    logits : ndarray of float32, (N, rows, columns)
        As in `Result`; (N, 0, 0) for an image-text pair, whose masks come from everything mode.
    scores : ndarray of float32, (N,)
        How well each mask fits its words, by the matcher: 0 to 1.
    words : list of str
        The text that found each mask.
    predicted_iou : ndarray of float32, (N,)
        Predicted IoU of each mask with the true one.
    prompts : list of Prompt
        The prompt that made each mask.
    """

    words: list[str] = field(default_factory=list)
    predicted_iou: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    prompts: list[Prompt] = field(default_factory=list)

    @classmethod
    def of(
        cls, found: Sequence[WordPrompt], results: Sequence[Result], size: tuple[int, ...], match_ms: float
    ) -> TextResult:
        """Join the single masks that the prompts of words made in a photograph of (height, width) `size`."""
        timings = {"match": match_ms, "decode": 0.0, "upsample": 0.0}
        if not found:
            nothing = np.zeros(0, np.float32)
            return cls(np.zeros((0, *size), np.bool_), nothing, np.zeros((0, 0, 0), np.float32), timings=timings)
        for result in results:
            timings = {stage: timings[stage] + result.timings.get(stage, 0.0) for stage in timings}
        return cls(
            np.concatenate([result.masks for result in results]),
            np.array([each.score for each in found], np.float32),
            np.concatenate([result.logits for result in results]),
            results[0].provider,
            timings,
            words=[each.word for each in found],
            predicted_iou=np.concatenate([result.scores for result in results]),
            prompts=[each.prompt for each in found],
        )

    def single(self) -> list[Result]:
        """Return a result for each mask, with its predicted IoU as the score."""
        return [
            Result(self.masks[i : i + 1], self.predicted_iou[i : i + 1], self.logits[i : i + 1], self.provider)
            for i in range(len(self.masks))
        ]
