"""Following objects through a video with an image model: what a frame shows prompts the next."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import InputError
from edge_sam.following.appearance import unit_tokens
from edge_sam.following.flow import Flow
from edge_sam.following.objects import Followed, Scene, held, lost
from edge_sam.following.stillness import Stillness
from edge_sam.following.tracked import Tracked
from edge_sam.geometry import FRAME
from edge_sam.predictor import Predictor
from edge_sam.preprocess import check_image
from edge_sam.profiles import MAX_PROMPTS
from edge_sam.prompts import Prompt
from edge_sam.timing import elapsed_ms, stage


class Follower:
    """Follow objects from frame to frame. Not safe to share between threads.

    Parameters
    ----------
    predictor : Predictor
        The model.
    long_side : int
        See `Predictor.encode`.

    Attributes
    ----------
    long_side : int
        May be changed between frames. The next that is encoded then costs up to two more calls of the encoder, for
        the frames that each object is remembered by.
    timings : dict of str to float
        Milliseconds of the last frame by stage: ``compare`` (with the frame that was encoded last), then
        ``recall`` where the long side has changed, ``preprocess``, ``encode``, ``search`` (for what looks like the
        objects), ``decode``, ``judge``, or ``flow``, where nothing was encoded; ``reused`` alone where the frame
        hardly differs and the last answer holds.
    """

    def __init__(self, predictor: Predictor, *, long_side: int = FRAME) -> None:
        self.long_side = long_side
        self.timings: dict[str, float] = {}
        self._predictor, self._seen_at = predictor, long_side
        self._objects: list[Followed] = []
        self._flow = Flow()
        self._stillness = Stillness()

    def start(self, image: NDArray[np.uint8], prompts: Sequence[Prompt]) -> list[Tracked]:
        """Take up objects in a first frame, in the place of all that were followed before.

        Parameters
        ----------
        image : ndarray of uint8, (height, width, 3)
            RGB.
        prompts : sequence of Prompt
            One for each object, answered with the mask that `Predictor.predict` prefers for it.

        Returns
        -------
        list of Tracked
            In the order of the prompts.

        Raises
        ------
        InputError
            No prompt, one that does not fit the frame, or not an RGB frame.
        """
        if not prompts:
            raise InputError("nothing to follow; give at least one prompt")
        self.timings = {}
        scene = self._look(check_image(image))
        self.timings.update(scene.embedding.timings)
        objects = []
        with stage(self.timings, "decode"):
            for prompt in prompts:
                result = self._predictor.predict(scene.embedding, prompt, multimask=False)
                item = Followed(held(result.masks[0], float(result.scores[0])))
                item.remember(scene, scene.geometry.cover(result.logits[0]), item.tracked)
                objects.append(item)
        self._objects = objects
        self._flow = Flow()
        self._keep(image)
        return [item.tracked for item in objects]

    def step(self, image: NDArray[np.uint8], *, encode: bool = True) -> list[Tracked]:
        """Follow the objects into the next frame.

        Parameters
        ----------
        image : ndarray of uint8, (height, width, 3)
            RGB. Its size may differ from the frame's before.
        encode : bool
            False: move the masks by optical flow, where the frame differs, and leave the model alone.

        Returns
        -------
        list of Tracked
            In the order of the prompts.

        Raises
        ------
        InputError
            `start` has not been called, or not an RGB frame.
        """
        if not self._objects:
            raise InputError("nothing is followed yet; call start first")
        image = check_image(image)
        self.timings = {}
        start = time.perf_counter()
        still = self._stillness.still(image, self.long_side)
        self.timings["reused" if still else "compare"] = elapsed_ms(start)
        if still:
            self._reuse(image)
        elif encode:
            self._search(image)
        else:
            self._carry(image)
        return [item.tracked for item in self._objects]

    def _reuse(self, image: NDArray[np.uint8]) -> None:
        """Say again what was decoded last."""
        for item in self._objects:
            item.tracked = item.decoded
        self._flow.see(image)

    def _search(self, image: NDArray[np.uint8]) -> None:
        """Look for each object where it was, then anywhere."""
        self._resize(image.shape[:2])
        if self._seen_at != self.long_side:
            self._recall()
        scene = self._look(image)
        self.timings.update(scene.embedding.timings)
        missing = self._find(scene, self._objects, anywhere=False)
        for item in self._find(scene, missing, anywhere=True):
            item.tracked = lost(image.shape[:2])
        self._keep(image)

    def _carry(self, image: NDArray[np.uint8]) -> None:
        """Move the masks along with the picture's corners."""
        with stage(self.timings, "flow"):
            self._resize(image.shape[:2])
            moved = self._flow.move([item.tracked for item in self._objects], image)
            for item, tracked in zip(self._objects, moved, strict=True):
                item.tracked = tracked

    def _look(self, image: NDArray[np.uint8]) -> Scene:
        embedding = self._predictor.encode(image, long_side=self.long_side)
        self._seen_at = self.long_side
        # Whoever gave the frame may fill its memory with the next one.
        return Scene(image.copy(), embedding, unit_tokens(embedding))

    def _recall(self) -> None:
        """See the frames that objects are remembered by at the present long side."""
        scenes: dict[int, Scene] = {}

        def look(image: NDArray[np.uint8]) -> Scene:
            if id(image) not in scenes:
                scenes[id(image)] = self._look(image)
            return scenes[id(image)]

        with stage(self.timings, "recall"):
            for item in self._objects:
                item.recall(look)

    def _find(self, scene: Scene, objects: Sequence[Followed], *, anywhere: bool) -> list[Followed]:
        """Look for objects with one call of the decoder; those that are not found come back."""
        with stage(self.timings, "search"):
            questions = [item.ask(scene, anywhere=anywhere) for item in objects]
        asked = [question.prompt for question in questions if question is not None]
        if not asked:
            return list(objects)
        with stage(self.timings, "decode"):
            answers = iter(list(self._predictor.answers(scene.embedding, asked, MAX_PROMPTS)))
        with stage(self.timings, "judge"):
            return [
                item
                for item, question in zip(objects, questions, strict=True)
                if question is None or not item.judge(scene, question, next(answers))
            ]

    def _resize(self, size: tuple[int, int]) -> None:
        """Bring what is known from the last frame to this one's size."""
        height, width = size
        for item in self._objects:
            before = item.tracked
            if before.mask.shape == size:
                continue
            mask = cv2.resize(before.mask.view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
            scaled = held(mask.astype(np.bool_), before.score)
            item.tracked = scaled if scaled.box is None else replace(scaled, state=before.state)

    def _keep(self, image: NDArray[np.uint8]) -> None:
        """Remember a frame that was encoded, and what was decoded from it."""
        self._stillness.keep(image, self.long_side)
        self._flow.see(image)
        for item in self._objects:
            item.decoded = item.tracked
