"""Tracking through a video with an image model: the masks of a frame prompt the next one."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy, deepcopy
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import InputError
from edge_sam.imaging.preprocess import check_image
from edge_sam.imaging.view import FRAME
from edge_sam.inference.shape_ranges import MAX_PROMPTS
from edge_sam.predictor import Predictor
from edge_sam.preference import Preference, suitable
from edge_sam.prompts import Prompt, check_prompts
from edge_sam.system.timing import elapsed_ms, stage
from edge_sam.tracking.appearance import unit_tokens
from edge_sam.tracking.conflicts import Detections, settle, taken
from edge_sam.tracking.flow import Flow
from edge_sam.tracking.stillness import Stillness
from edge_sam.tracking.track import EncodedFrame, Track, held, lost
from edge_sam.tracking.tracked import Tracked


class Tracker:
    """Tracks objects from frame to frame. Not thread-safe.

    A method that raises does not change the tracker's state.

    Parameters
    ----------
    predictor : Predictor
        The model.
    long_side : int
        See `Predictor.encode`.

    Attributes
    ----------
    long_side : int
        You can change it between frames. The next encoded frame then needs further calls of the encoder, one for each
        remembered frame: two if all objects were last seen clearly in the same frame, at most one more than there are
        objects.
    timings : dict of str to float
        Milliseconds of the last frame by stage. An encoded frame has ``compare`` (with the last encoded frame),
        ``recall`` (after a change of the long side), ``preprocess``, ``encode``, ``search`` (for the objects'
        appearance), ``decode`` and ``judge``. A frame that is not encoded has ``compare`` and ``flow``. A frame that
        hardly differs from the last encoded one has only ``reused``.
    """

    def __init__(self, predictor: Predictor, *, long_side: int = FRAME) -> None:
        self.long_side = long_side
        self.timings: dict[str, float] = {}
        self._predictor, self._seen_at = predictor, long_side
        self._objects: list[Track] = []
        self._flow = Flow()
        self._stillness = Stillness()

    def start(self, image: NDArray[np.uint8], prompts: Sequence[Prompt]) -> list[Tracked]:
        """Start tracking objects in a first frame, in place of all earlier objects.

        Parameters
        ----------
        image : ndarray of uint8, (height, width, 3)
            RGB.
        prompts : sequence of Prompt
            One for each object. Points alone select the whole object, other prompts token 0's mask; see
            `edge_sam.preference`.

        Returns
        -------
        list of Tracked
            In the order of the prompts.

        Raises
        ------
        InputError
            There is no prompt, a prompt does not fit the frame, or the frame is not RGB.
        """
        prompts = check_prompts(prompts)
        if not prompts:
            raise InputError("nothing to track; give at least one prompt")
        self.timings = {}
        with self._transaction():
            frame = self._look(check_image(image))
            self.timings.update(frame.embedding.timings)
            with stage(self.timings, "decode"):
                self._objects = [self._start_track(frame, prompt) for prompt in prompts]
            self._flow = Flow()
            self._keep(image)
        return self._report()

    def step(self, image: NDArray[np.uint8], *, encode: bool = True) -> list[Tracked]:
        """Track the objects into the next frame.

        Parameters
        ----------
        image : ndarray of uint8, (height, width, 3)
            RGB. Its size may differ from the last frame's.
        encode : bool
            False: do not run the model. Move the masks by optical flow, if the frame has changed.

        Returns
        -------
        list of Tracked
            In the order of the prompts.

        Raises
        ------
        InputError
            `start` has not been called, or the frame is not RGB.
        """
        if not self._objects:
            raise InputError("nothing is tracked yet; call start first")
        image = check_image(image)
        self.timings = {}
        start = time.perf_counter()
        still = self._stillness.still(image, self.long_side)
        self.timings["reused" if still else "compare"] = elapsed_ms(start)
        with self._transaction():
            if still:
                self._reuse(image)
            elif encode:
                self._search(image)
            else:
                self._carry(image)
        return self._report()

    def add(self, image: NDArray[np.uint8], prompts: Sequence[Prompt], kept: Sequence[int]) -> list[Tracked]:
        """Track some of the objects into the next frame, as `step` does, and start further ones in it.

        Parameters
        ----------
        image, prompts
            See `start`.
        kept : sequence of int
            The objects that go on, by their place in the earlier answer. The others are given up.

        Returns
        -------
        list of Tracked
            The kept objects, then one for each prompt.

        Raises
        ------
        InputError
            There is no such object, a prompt does not fit the frame, or the frame is not RGB.
        """
        prompts, image = check_prompts(prompts), check_image(image)
        if not all(0 <= i < len(self._objects) for i in kept):
            raise InputError(f"there are {len(self._objects)} objects to keep, but {list(kept)} were asked for")
        self.timings = {}
        with self._transaction():
            self._objects = [self._objects[i] for i in kept]
            frame = self._search(image)
            with stage(self.timings, "decode"):
                self._objects += [self._start_track(frame, prompt) for prompt in prompts]
            self._keep(image)
        return self._report()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Work on copies and drop them if the block raises, so that a bad frame or prompt loses no object."""
        kept = self._objects, self._flow, self._stillness, self._seen_at
        self._objects = [copy(item) for item in self._objects]
        self._flow, self._stillness = copy(self._flow), copy(self._stillness)
        try:
            yield
        except BaseException:
            self._objects, self._flow, self._stillness, self._seen_at = kept
            raise

    def _report(self) -> list[Tracked]:
        """Copy the objects' states, so that the caller may modify them."""
        return [deepcopy(item.tracked) for item in self._objects]

    def _start_track(self, frame: EncodedFrame, prompt: Prompt) -> Track:
        # For a box token 0: on DAVIS videos it is 2 to 4 points better than `best` (docs/lab/one-click.md).
        prefer: Preference = "auto" if suitable(prompt) == "object" else "single"
        result = self._predictor.predict(frame.embedding, prompt, multimask=False, prefer=prefer)
        item = Track(held(result.masks[0], float(result.scores[0])))
        item.remember(frame, frame.geometry.cover(result.logits[0]), item.tracked)
        return item

    def _reuse(self, image: NDArray[np.uint8]) -> None:
        """Repeat the last decoded states."""
        for item in self._objects:
            item.tracked = item.decoded
        self._flow.see(image)

    def _search(self, image: NDArray[np.uint8]) -> EncodedFrame:
        """Search for each object near its last place, then in the whole frame. Returns the frame."""
        self._resize(image.shape[:2])
        if self._seen_at != self.long_side:
            self._recall()
        frame = self._look(image)
        self.timings.update(frame.embedding.timings)
        found = settle(self._find(frame, self._objects))
        missing = [item for item in self._objects if item not in found]
        found = settle(self._find(frame, missing, found), found)
        for item in missing:
            item.tracked = lost(image.shape[:2])
        for item, detection in found.items():
            item.accept(frame, detection)
        self._keep(image)
        return frame

    def _carry(self, image: NDArray[np.uint8]) -> None:
        """Move the masks by optical flow."""
        with stage(self.timings, "flow"):
            self._resize(image.shape[:2])
            moved = self._flow.move([item.tracked for item in self._objects], image)
            for item, tracked in zip(self._objects, moved, strict=True):
                item.tracked = tracked

    def _look(self, image: NDArray[np.uint8]) -> EncodedFrame:
        embedding = self._predictor.encode(image, long_side=self.long_side).cropped()
        self._seen_at = self.long_side
        # The caller may reuse the frame's memory.
        return EncodedFrame(image.copy(), embedding, unit_tokens(embedding))

    def _recall(self) -> None:
        """Encode the objects' remembered frames at the present long side."""
        encoded: dict[int, EncodedFrame] = {}

        def look(image: NDArray[np.uint8]) -> EncodedFrame:
            if id(image) not in encoded:
                encoded[id(image)] = self._look(image)
            return encoded[id(image)]

        with stage(self.timings, "recall"):
            for item in self._objects:
                item.recall(look)

    def _find(self, frame: EncodedFrame, objects: Sequence[Track], found: Detections | None = None) -> Detections:
        """Search for objects with one decoder call: near their last places, or anywhere outside the `found` ones."""
        size = frame.geometry.token_size
        with stage(self.timings, "search"):
            asked = {
                item: question
                for item in objects
                if (question := item.ask(frame, None if found is None else taken(item, found, size))) is not None
            }
        if not asked:
            return {}
        with stage(self.timings, "decode"):
            prompts = [question.prompt for question in asked.values()]
            answers = list(self._predictor.answers(frame.embedding, prompts, MAX_PROMPTS))
        with stage(self.timings, "judge"):
            return {
                item: detection
                for (item, question), answer in zip(asked.items(), answers, strict=True)
                if (detection := item.judge(frame, question, answer)) is not None
            }

    def _resize(self, size: tuple[int, int]) -> None:
        """Scale the last states to this frame's size."""
        height, width = size
        for item in self._objects:
            before = item.tracked
            if before.mask.shape == size:
                continue
            mask = cv2.resize(before.mask.view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
            scaled = held(mask.astype(np.bool_), before.score)
            item.tracked = scaled if scaled.box is None else replace(scaled, state=before.state)

    def _keep(self, image: NDArray[np.uint8]) -> None:
        """Remember an encoded frame and the states decoded from it."""
        self._stillness.keep(image, self.long_side)
        self._flow.see(image)
        for item in self._objects:
            item.decoded = item.tracked
