"""One followed object: what is known of it, how it is asked about, and which answer is believed."""

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
    View,
    Window,
    label_tokens,
    likeness,
    view,
    whole,
    window_around,
)
from edge_sam.tracking.tracked import Tracked

OBJECT = 0.3
"""Label above which a token belongs to the object: low, because a box that cuts a limb off loses it for good."""
MARGIN = 0.05
"""Room left on each side of the labelled tokens, as a fraction of their box."""
HOLD = 0.5
"""Confidence below which a mask is not believed."""
LEARN = 0.7
"""Confidence from which a mask is remembered, and from which an object that was lost is taken up again."""
STRANGER, SELF = 0.6, 0.9
"""Cosine of mean tokens that tells nothing for an object, and one that leaves no doubt."""
SURE = 0.5
"""Label above which a token is good for a point."""
HALF = 0.5
"""Part of a token that another object covers, above which the token is not searched."""
POINTS = 3
"""Points on the object at most."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A frame as the model sees it.

    Attributes
    ----------
    image : ndarray of uint8, (height, width, 3)
        RGB.
    embedding : ImageEmbedding
        From the encoder.
    tokens : ndarray of float32, (rows, columns, 256)
        Its tokens, of unit length.
    """

    image: NDArray[np.uint8]
    embedding: ImageEmbedding
    tokens: NDArray[np.float32]

    @property
    def geometry(self) -> Geometry:
        """How the frame lies in the model's."""
        return self.embedding.geometry


@dataclass(frozen=True, eq=False)
class Question:
    """What the decoder is asked about an object.

    Attributes
    ----------
    prompt : Prompt
        Box and points.
    labels : ndarray of float32, (rows, columns)
        How much of each of the frame's tokens is thought to be object.
    anywhere : bool
        Whether the whole frame was searched.
    """

    prompt: Prompt
    labels: NDArray[np.float32]
    anywhere: bool


@dataclass(frozen=True, eq=False)
class Detection:
    """A mask that is taken for the object, unless another object has a better claim to it.

    Attributes
    ----------
    tracked : Tracked
        The mask and how far it can be believed.
    cover : ndarray of float32, (rows, columns)
        Fraction of each of the frame's tokens that the mask covers.
    """

    tracked: Tracked
    cover: NDArray[np.float32]


@dataclass(eq=False)
class Track:
    """An object and its memory. Methods replace what it holds and never write into it, so a shallow copy is enough.

    Attributes
    ----------
    tracked : Tracked
        Where it was last.
    views : list of View
        What it looked like at first and the last time that it was clearly seen; empty where it never was.
    frames : list of (ndarray of uint8, ndarray of bool)
        The frames of these views, and its mask in each.
    ground : ndarray of float32, (256,)
        Mean token of the first frame.
    first, decoded : Tracked
        Where it was in the first frame, and in the last one that was encoded.
    """

    tracked: Tracked
    views: list[View] = field(default_factory=list)
    frames: list[tuple[NDArray[np.uint8], NDArray[np.bool_]]] = field(default_factory=list)
    ground: NDArray[np.float32] = field(default_factory=lambda: np.zeros(CHANNELS, dtype=np.float32))
    first: Tracked = field(init=False)
    decoded: Tracked = field(init=False)

    def __post_init__(self) -> None:
        self.first = self.decoded = self.tracked

    def remember(self, scene: Scene, cover: NDArray[np.float32], tracked: Tracked) -> None:
        """Keep what the object looks like now."""
        if tracked.box is None:
            return
        seen = view(scene.tokens, cover, scene.geometry.tokens_of_box(tracked.box))
        if not self.views:
            self.ground = scene.tokens.mean(axis=(0, 1))
        self.views = [*self.views[:1], seen]
        self.frames = [*self.frames[:1], (scene.image, tracked.mask)]

    def recall(self, look: Callable[[NDArray[np.uint8]], Scene]) -> None:
        """Look at the remembered frames again: tokens of one long side tell little about those of another."""
        seen = [(look(image), mask) for image, mask in self.frames]  # This may raise; the memory is still whole then.
        self.views, self.frames = [], []
        for scene, mask in seen:
            self.remember(scene, scene.geometry.cover_of(mask), held(mask, 1.0))

    def ask(self, scene: Scene, taken: NDArray[np.float32] | None = None) -> Question | None:
        """Make the question about the present frame.

        Parameters
        ----------
        scene : Scene
            The frame.
        taken : ndarray of float32, (rows, columns), optional
            Search the whole frame, except for the tokens that other objects cover by more than half. Default: search
            near the object's last place.

        Returns
        -------
        Question or None
            None where nothing looks like the object.
        """
        anywhere = taken is not None
        box = self.tracked.box
        if not self.views or (box is None and not anywhere):
            return None
        geometry, tokens = scene.geometry, scene.tokens
        place = None if anywhere or box is None else geometry.tokens_of_box(box)
        window = whole(tokens) if place is None else window_around(place, tokens)
        labels = label_tokens(tokens, window, self.views, place)
        found = labels - np.float32(OBJECT)
        if taken is not None:
            found = _largest_part(np.where(taken > HALF, np.float32(-OBJECT), found))
            labels = np.where((labels > OBJECT) & (found <= 0), np.float32(0), labels)  # Of other parts and objects.
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

    def judge(self, scene: Scene, question: Question, answer: Answer) -> Detection | None:
        """Take the best of the decoder's four answers for the object, or None where it is not credible."""
        logits, scores, _, _ = answer
        covers = [scene.geometry.cover(plane) for plane in logits]
        overlaps = [_soft_iou(cover, question.labels) for cover in covers]
        best = int(np.argmax(scores + np.array(overlaps)))
        alike = max(likeness(scene.tokens, covers[best], seen, self.ground) for seen in self.views)
        confidence = _confidence(float(scores[best]), stability(logits[best]), alike)
        if confidence < (LEARN if question.anywhere else HOLD):
            return None
        tracked = held(scene.geometry.upsample(logits[best]) > 0, confidence)
        return None if tracked.box is None else Detection(tracked, covers[best])

    def accept(self, scene: Scene, detection: Detection) -> None:
        """Take a detection for the object's place, and remember how it looks there if it was clearly seen."""
        self.tracked = detection.tracked
        if self.tracked.score >= LEARN:
            self.remember(scene, detection.cover, self.tracked)


def held(mask: NDArray[np.bool_], score: float) -> Tracked:
    """Report a decoded mask; an empty one is lost."""
    box = box_of(mask)
    return lost(mask.shape) if box is None else Tracked("held", mask, box, min(1.0, max(0.0, score)))


def lost(size: tuple[int, ...]) -> Tracked:
    """Report an object that is not found in a frame of (height, width) `size`."""
    return Tracked("lost", np.zeros(size, dtype=np.bool_), None, 0.0)


def _confidence(score: float, steady: float, alike: float) -> float:
    """Say how far a mask can be believed, 0 to 1.

    Parameters
    ----------
    score : float
        IoU that the model predicts of it.
    steady : float
        IoU of the mask with itself at a stricter and a laxer threshold.
    alike : float
        Cosine of its mean token with the object's.
    """
    sure = (alike - STRANGER) / (SELF - STRANGER)
    return min(1.0, score, steady) * min(1.0, max(0.0, sure))


def _soft_iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(np.minimum(a, b).sum() / max(float(np.maximum(a, b).sum()), 1e-12))


def _largest_part(found: NDArray[np.float32]) -> NDArray[np.float32]:
    """Leave of the tokens above 0 the connected part that weighs most."""
    count, parts = cv2.connectedComponents((found > 0).view(np.uint8))
    if count < 3:
        return found
    weights = np.bincount(parts.ravel(), weights=found.ravel())
    return np.where(parts == 1 + int(np.argmax(weights[1:])), found, np.float32(-1))


def _points(labels: NDArray[np.float32], window: Window, geometry: Geometry) -> NDArray[np.float64]:
    """Choose the tokens deepest inside the object, far from each other: (N, 2) XY in pixels."""
    inside = np.pad(labels > SURE, 1).view(np.uint8)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)[1:-1, 1:-1].copy()
    chosen: list[tuple[int, int]] = []
    while len(chosen) < POINTS and depth.any():
        row, column = np.unravel_index(int(np.argmax(depth)), depth.shape)
        chosen.append((window[0].start + int(row), window[1].start + int(column)))
        cv2.circle(depth, (int(column), int(row)), max(1, int(1.5 * depth[row, column])), 0, -1)
    return geometry.centres_of_tokens(np.array(chosen, dtype=np.intp).reshape(-1, 2))
