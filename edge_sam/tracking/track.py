"""One tracked object: its memory, its next prompt, and the choice of its mask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sam.bundles.contract import CHANNELS
from edge_sam.embedding import ImageEmbedding
from edge_sam.imaging.geometry import Geometry
from edge_sam.imaging.masks import box_of, stability
from edge_sam.prompts import Prompt
from edge_sam.result import Answer
from edge_sam.tracking.appearance import (
    Appearance,
    TokenWindow,
    appearance_of,
    label_tokens,
    likeness,
    whole,
    window_around,
)
from edge_sam.tracking.tracked import Tracked

OBJECT = 0.3
"""Label above which a token belongs to the object. It is low, because a limb outside the box is lost for good."""
MARGIN = 0.05
"""Margin on each side of the labelled tokens, as a fraction of their box."""
HOLD = 0.5
"""Lowest confidence of a mask."""
LEARN = 0.7
"""Lowest confidence to remember a mask, and to recover a lost object."""
DIFFERENT, SAME = 0.6, 0.9
"""Cosines of mean tokens from which confidence is 0 and 1: another object, and the same."""
SURE = 0.5
"""Label above which a token can become a point prompt."""
HALF = 0.5
"""Coverage by other objects above which a token is not searched."""
POINTS = 3
"""Largest number of point prompts."""


@dataclass(frozen=True, eq=False)
class EncodedFrame:
    """A frame with its embedding.

    Attributes
    ----------
    image : ndarray of uint8, (height, width, 3)
        RGB.
    embedding : ImageEmbedding
    tokens : ndarray of float32, (rows, columns, 256)
        Image tokens of unit length.
    """

    image: NDArray[np.uint8]
    embedding: ImageEmbedding
    tokens: NDArray[np.float32]

    @property
    def geometry(self) -> Geometry:
        """Geometry of the frame in the encoder's input."""
        return self.embedding.geometry


@dataclass(frozen=True, eq=False)
class Question:
    """The prompt for an object in a frame.

    Attributes
    ----------
    prompt : Prompt
        Box and points.
    labels : ndarray of float32, (rows, columns)
        Estimated fraction of each token that belongs to the object.
    anywhere : bool
        The whole frame was searched.
    """

    prompt: Prompt
    labels: NDArray[np.float32]
    anywhere: bool


@dataclass(frozen=True, eq=False)
class Detection:
    """A credible mask of an object, unless another object has a better claim to it.

    Attributes
    ----------
    tracked : Tracked
        The mask and its confidence.
    cover : ndarray of float32, (rows, columns)
        Fraction of each token that the mask covers.
    """

    tracked: Tracked
    cover: NDArray[np.float32]


@dataclass(eq=False)
class Track:
    """An object and its memory. Methods replace attributes and never modify them, so a shallow copy is enough.

    Attributes
    ----------
    tracked : Tracked
        Its last state.
    appearances : list of Appearance
        Its appearance in the first frame, and in the last frame with high confidence. Empty if it was never visible.
    frames : list of (ndarray of uint8, ndarray of bool)
        The frames of these appearances, with its mask in each.
    ground : ndarray of float32, (256,)
        Mean token of the first frame.
    first, decoded : Tracked
        Its state in the first frame, and in the last encoded frame.
    """

    tracked: Tracked
    appearances: list[Appearance] = field(default_factory=list)
    frames: list[tuple[NDArray[np.uint8], NDArray[np.bool_]]] = field(default_factory=list)
    ground: NDArray[np.float32] = field(default_factory=lambda: np.zeros(CHANNELS, dtype=np.float32))
    first: Tracked = field(init=False)
    decoded: Tracked = field(init=False)

    def __post_init__(self) -> None:
        self.first = self.decoded = self.tracked

    def remember(self, frame: EncodedFrame, cover: NDArray[np.float32], tracked: Tracked) -> None:
        """Remember the object's present appearance."""
        if tracked.box is None:
            return
        seen = appearance_of(frame.tokens, cover, frame.geometry.tokens_of_box(tracked.box))
        if not self.appearances:
            self.ground = frame.tokens.mean(axis=(0, 1))
        self.appearances = [*self.appearances[:1], seen]
        self.frames = [*self.frames[:1], (frame.image, tracked.mask)]

    def recall(self, look: Callable[[NDArray[np.uint8]], EncodedFrame]) -> None:
        """Encode the remembered frames again: tokens of different long sides cannot be compared."""
        seen = [(look(image), mask) for image, mask in self.frames]  # This may raise, so change the memory afterwards.
        self.appearances, self.frames = [], []
        for frame, mask in seen:
            self.remember(frame, frame.geometry.cover_of(mask), held(mask, 1.0))

    def ask(self, frame: EncodedFrame, taken: NDArray[np.float32] | None = None) -> Question | None:
        """Make the prompt for a frame.

        Parameters
        ----------
        frame : EncodedFrame
        taken : ndarray of float32, (rows, columns), optional
            Search the whole frame, except for the tokens that other objects cover by more than half. Default: search
            near the object's last place.

        Returns
        -------
        Question or None
            None if nothing looks like the object.
        """
        anywhere = taken is not None
        box = self.tracked.box
        if not self.appearances or (box is None and not anywhere):
            return None
        geometry, tokens = frame.geometry, frame.tokens
        place = None if anywhere or box is None else geometry.tokens_of_box(box)
        window = whole(tokens) if place is None else window_around(place, tokens)
        labels = label_tokens(tokens, window, self.appearances, place)
        found = labels - np.float32(OBJECT)
        if taken is not None:
            found = _largest_part(np.where(taken > HALF, np.float32(-OBJECT), found))
            labels = np.where((labels > OBJECT) & (found <= 0), np.float32(0), labels)  # Drop other parts and objects.
        box = geometry.box_of_tokens(window, found)
        if box is None:
            return None
        margin = MARGIN * (box[2:] - box[:2])
        everywhere = np.zeros(tokens.shape[:2], dtype=np.float32)
        everywhere[window] = labels
        points = _points(labels, window, geometry)
        prompt = Prompt(
            points=points if len(points) else None, box=np.concatenate([box[:2] - margin, box[2:] + margin])
        )
        return Question(prompt, everywhere, anywhere)

    def judge(self, frame: EncodedFrame, question: Question, answer: Answer) -> Detection | None:
        """Choose the best of the decoder's four masks for the object. Return None if it is not credible."""
        logits, scores, _, _ = answer
        covers = [frame.geometry.cover(plane) for plane in logits]
        overlaps = [_soft_iou(cover, question.labels) for cover in covers]
        best = int(np.argmax(scores + np.array(overlaps)))
        alike = max(likeness(frame.tokens, covers[best], seen, self.ground) for seen in self.appearances)
        confidence = _confidence(float(scores[best]), stability(logits[best]), alike)
        if confidence < (LEARN if question.anywhere else HOLD):
            return None
        tracked = held(frame.geometry.upsample(logits[best]) > 0, confidence)
        return None if tracked.box is None else Detection(tracked, covers[best])

    def accept(self, frame: EncodedFrame, detection: Detection) -> None:
        """Accept a detection. Remember the appearance if the confidence is high."""
        self.tracked = detection.tracked
        if self.tracked.score >= LEARN:
            self.remember(frame, detection.cover, self.tracked)


def held(mask: NDArray[np.bool_], score: float) -> Tracked:
    """Return the state of a decoded mask. An empty one is lost."""
    box = box_of(mask)
    return lost(mask.shape) if box is None else Tracked("held", mask, box, min(1.0, max(0.0, score)))


def lost(size: tuple[int, ...]) -> Tracked:
    """Return the state of an object that was not found in a frame of (height, width) `size`."""
    return Tracked("lost", np.zeros(size, dtype=np.bool_), None, 0.0)


def _confidence(score: float, steady: float, alike: float) -> float:
    """Return the confidence of a mask, 0 to 1.

    Parameters
    ----------
    score : float
        Predicted IoU.
    steady : float
        Stability: IoU of the mask at a raised and a lowered threshold.
    alike : float
        Cosine of its mean token with the object's mean token.
    """
    sure = (alike - DIFFERENT) / (SAME - DIFFERENT)
    return min(1.0, score, steady) * min(1.0, max(0.0, sure))


def _soft_iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(np.minimum(a, b).sum() / max(float(np.maximum(a, b).sum()), 1e-12))


def _largest_part(found: NDArray[np.float32]) -> NDArray[np.float32]:
    """Keep the connected part of the tokens above 0 that has the largest sum."""
    count, parts = cv2.connectedComponents((found > 0).view(np.uint8))
    if count < 3:
        return found
    weights = np.bincount(parts.ravel(), weights=found.ravel())
    return np.where(parts == 1 + int(np.argmax(weights[1:])), found, np.float32(-1))


def _points(labels: NDArray[np.float32], window: TokenWindow, geometry: Geometry) -> NDArray[np.float64]:
    """Choose tokens deep inside the object and far from each other. Returns (N, 2) XY in pixels."""
    inside = np.pad(labels > SURE, 1).view(np.uint8)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)[1:-1, 1:-1].copy()
    chosen: list[tuple[int, int]] = []
    while len(chosen) < POINTS and depth.any():
        row, column = np.unravel_index(int(np.argmax(depth)), depth.shape)
        chosen.append((window[0].start + int(row), window[1].start + int(column)))
        cv2.circle(depth, (int(column), int(row)), max(1, int(1.5 * depth[row, column])), 0, -1)
    return geometry.centres_of_tokens(np.array(chosen, dtype=np.intp).reshape(-1, 2))
