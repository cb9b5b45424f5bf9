"""What a text model is to this package: one of two roles, and what it says about itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import msgspec
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class WordBoxes:
    """The boxes that words describe in a photograph, in any order.

    Attributes
    ----------
    boxes : ndarray of float64, (N, 4)
        XYXY in pixels of the photograph. They may reach beyond its border.
    scores : ndarray of float32, (N,)
        0 to 1.
    words : ndarray of intp, (N,)
        Index of the phrase that each box belongs to.
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float32]
    words: NDArray[np.intp]

    @classmethod
    def join(cls, parts: Sequence[WordBoxes]) -> WordBoxes:
        """Put boxes together."""
        if not parts:
            return cls(np.zeros((0, 4)), np.zeros(0, np.float32), np.zeros(0, np.intp))
        return cls(
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.words for part in parts]),
        )

    def take(self, chosen: NDArray[np.bool_]) -> WordBoxes:
        """Return the chosen boxes."""
        return WordBoxes(self.boxes[chosen], self.scores[chosen], self.words[chosen])


class MatcherFacts(msgspec.Struct, frozen=True):
    """What a report says about a matcher that ran.

    Attributes
    ----------
    matcher : str
        Name of its layout.
    matcher_files : dict of str to str
        sha256 of each file by part and name, such as ``text/model.onnx``.
    matcher_precision : str
        Precision of its graphs.
    matcher_provider : str
        The provider that runs them, as the backend names it.
    """

    matcher: str
    matcher_files: dict[str, str]
    matcher_precision: str
    matcher_provider: str


@runtime_checkable
class TextBoxes(Protocol):
    """Words to boxes: a detector with an open vocabulary.

    Attributes
    ----------
    threshold : float
        Least score that usually means that an object is there.
    facts : MatcherFacts
        What it is.
    """

    threshold: float
    facts: MatcherFacts

    def find(self, image: NDArray[np.uint8], phrases: Sequence[str], least: float) -> WordBoxes:
        """Return the boxes with a score of at least `least` in an RGB photograph, (height, width, 3)."""
        ...


@runtime_checkable
class ImageText(Protocol):
    """Pictures and words to similarities.

    A matcher may have ``resample`` too, the `PIL.Image.Resampling` with which objects are resized. Without it, they are
    resized as for CLIP.

    Attributes
    ----------
    threshold : float
        Least share of a phrase, against the phrases of the background, that usually means that it is true.
    side : int
        Height and width of its pictures in pixels.
    facts : MatcherFacts
        What it is.
    """

    threshold: float
    side: int
    facts: MatcherFacts

    def similarity(self, pictures: Iterable[NDArray[np.uint8]], phrases: Sequence[str]) -> NDArray[np.float32]:
        """Return the logits, (pictures, phrases), of RGB pictures of (side, side, 3)."""
        ...


Matcher = TextBoxes | ImageText
"""Either of the two roles."""
