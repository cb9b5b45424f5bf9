"""Following objects through a video with an image model: each frame's answer prompts the next."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sam.embedding import ImageEmbedding
from edge_sam.errors import InputError
from edge_sam.following.flow import find_motion, move_mask
from edge_sam.following.tracked import Tracked
from edge_sam.geometry import FRAME
from edge_sam.predictor import Predictor
from edge_sam.preprocess import check_image
from edge_sam.prompts import Prompt

_TRUST = 0.5
"""Confidence below which an object is lost."""


@dataclass
class _Object:
    tracked: Tracked
    logits: NDArray[np.float32]


class Follower:
    """Follow objects from frame to frame.

    Parameters
    ----------
    predictor : Predictor
        The model.
    long_side : int
        See `Predictor.encode`; the attribute may be changed between frames.

    Attributes
    ----------
    long_side : int
        As above.
    timings : dict of str to float
        Milliseconds of the last frame by stage.
    """

    def __init__(self, predictor: Predictor, *, long_side: int = FRAME) -> None:
        self.long_side = long_side
        self.timings: dict[str, float] = {}
        self._predictor = predictor
        self._objects: list[_Object] = []
        self._grey: NDArray[np.uint8] | None = None

    def start(self, image: NDArray[np.uint8], prompts: Sequence[Prompt]) -> list[Tracked]:
        """Take up objects in a first frame, in the place of all that were followed before."""
        if not prompts:
            raise InputError("nothing to follow; give at least one prompt")
        embedding = self._encode(check_image(image))
        self._objects = []
        for prompt in prompts:
            clear = prompt.box is not None or prompt.mask is not None
            result = self._predictor.predict(embedding, prompt, multimask=not clear)
            self._objects.append(_Object(_tracked(result.masks[0], float(result.scores[0])), result.logits[0]))
        self._grey = _grey(image)
        return [item.tracked for item in self._objects]

    def step(self, image: NDArray[np.uint8], *, encode: bool = True) -> list[Tracked]:
        """Follow the objects into the next frame."""
        if self._grey is None:
            raise InputError("nothing is followed yet; call start first")
        image = check_image(image)
        self.timings = {}
        grey = _grey(image)
        if grey.shape != self._grey.shape:
            raise InputError("the frame's size changed")
        start = time.perf_counter()
        carried = [self._carry(item, grey) for item in self._objects]
        self.timings["flow"] = _milliseconds(start)
        if not encode:
            for item, tracked in zip(self._objects, carried, strict=True):
                item.tracked = tracked
        else:
            self._decode(self._encode(image), carried)
        self._grey = grey
        return [item.tracked for item in self._objects]

    def _carry(self, item: _Object, grey: NDArray[np.uint8]) -> Tracked:
        assert self._grey is not None
        tracked = item.tracked
        motion = None if tracked.box is None else find_motion(self._grey, grey, tracked.mask)
        mask = tracked.mask if motion is None else move_mask(tracked.mask, motion)
        return _tracked(mask, tracked.score, "carried")

    def _encode(self, image: NDArray[np.uint8]) -> ImageEmbedding:
        embedding = self._predictor.encode(image, long_side=self.long_side)
        self.timings.update(embedding.timings)
        return embedding

    def _decode(self, embedding: ImageEmbedding, carried: Sequence[Tracked]) -> None:
        seen = [i for i, tracked in enumerate(carried) if tracked.box is not None]
        if not seen:
            return
        start = time.perf_counter()
        prompts = [Prompt(box=carried[i].box, mask=self._objects[i].logits) for i in seen]
        logits, scores = self._predictor.decode(embedding, prompts)
        self.timings["decode"] = _milliseconds(start)
        start = time.perf_counter()
        for i, plane, score in zip(seen, logits[:, 0], scores[:, 0], strict=True):
            item = self._objects[i]
            item.tracked = _tracked(embedding.geometry.upsample(plane) > 0, float(score))
            item.logits = plane
        self.timings["upsample"] = _milliseconds(start)


def _tracked(mask: NDArray[np.bool_], score: float, state: str = "held") -> Tracked:
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    if score < _TRUST or not width:
        return Tracked("lost", np.zeros_like(mask), None, 0.0)
    box = np.array([x, y, x + width, y + height], dtype=np.float64)
    return Tracked("carried" if state == "carried" else "held", mask, box, min(1.0, score))


def _grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def _milliseconds(start: float) -> float:
    return (time.perf_counter() - start) * 1000
