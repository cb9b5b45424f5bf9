"""Following objects through a video with an image model: what a frame shows prompts the next."""

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
from edge_sam.imaging.geometry import FRAME
from edge_sam.imaging.preprocess import check_image
from edge_sam.inference.profiles import MAX_PROMPTS
from edge_sam.predictor import Predictor
from edge_sam.preference import Preference, suitable
from edge_sam.prompts import Prompt, check_prompts
from edge_sam.system.timing import elapsed_ms, stage
from edge_sam.tracking.appearance import unit_tokens
from edge_sam.tracking.conflicts import Found, settle, taken
from edge_sam.tracking.flow import Flow
from edge_sam.tracking.objects import Scene, Track, held, lost
from edge_sam.tracking.stillness import Stillness
from edge_sam.tracking.tracked import Tracked


class Tracker:
    """Follow objects from frame to frame. Not safe to share between threads.

    A method that raises leaves what is followed as it was.

    Parameters
    ----------
    predictor : Predictor
        The model.
    long_side : int
        See `Predictor.encode`.

    Attributes
    ----------
    long_side : int
        May be changed between frames. The next frame that is encoded then costs more calls of the encoder, one for
        each frame that objects are remembered by: two where all objects were clearly seen in the same frame, at most
        one more than there are objects.
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
        self._objects: list[Track] = []
        self._flow = Flow()
        self._stillness = Stillness()

    def start(self, image: NDArray[np.uint8], prompts: Sequence[Prompt]) -> list[Tracked]:
        """Take up objects in a first frame, in the place of all that were followed before.

        Parameters
        ----------
        image : ndarray of uint8, (height, width, 3)
            RGB.
        prompts : sequence of Prompt
            One for each object. Points alone are answered with the object, other prompts with token 0's mask; see
            `edge_sam.preference`.

        Returns
        -------
        list of Tracked
            In the order of the prompts.

        Raises
        ------
        InputError
            No prompt, one that does not fit the frame, or not an RGB frame.
        """
        prompts = check_prompts(prompts)
        if not prompts:
            raise InputError("nothing to follow; give at least one prompt")
        self.timings = {}
        with self._transaction():
            scene = self._look(check_image(image))
            self.timings.update(scene.embedding.timings)
            with stage(self.timings, "decode"):
                self._objects = [self._take_up(scene, prompt) for prompt in prompts]
            self._flow = Flow()
            self._keep(image)
        return self._report()

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
        with self._transaction():
            if still:
                self._reuse(image)
            elif encode:
                self._search(image)
            else:
                self._carry(image)
        return self._report()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Work on copies and drop them if the block raises, so that a bad frame or prompt costs no object."""
        kept = self._objects, self._flow, self._stillness, self._seen_at
        self._objects = [copy(item) for item in self._objects]
        self._flow, self._stillness = copy(self._flow), copy(self._stillness)
        try:
            yield
        except BaseException:
            self._objects, self._flow, self._stillness, self._seen_at = kept
            raise

    def _report(self) -> list[Tracked]:
        """Say where the objects are, in arrays that the caller may write to."""
        return [deepcopy(item.tracked) for item in self._objects]

    def _take_up(self, scene: Scene, prompt: Prompt) -> Track:
        """Begin to follow an object."""
        # For a box token 0: on DAVIS videos it is 2 to 4 points better than `best` (docs/lab/one-click.md).
        prefer: Preference = "auto" if suitable(prompt) == "object" else "single"
        result = self._predictor.predict(scene.embedding, prompt, multimask=False, prefer=prefer)
        item = Track(held(result.masks[0], float(result.scores[0])))
        item.remember(scene, scene.geometry.cover(result.logits[0]), item.tracked)
        return item

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
        found = settle(self._find(scene, self._objects))
        missing = [item for item in self._objects if item not in found]
        found = settle(self._find(scene, missing, found), found)
        for item in missing:
            item.tracked = lost(image.shape[:2])
        for item, detection in found.items():
            item.accept(scene, detection)
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

    def _find(self, scene: Scene, objects: Sequence[Track], found: Found | None = None) -> Found:
        """Look for objects with one call of the decoder: near their last places, or anywhere but on those `found`."""
        size = scene.geometry.token_size
        with stage(self.timings, "search"):
            asked = {
                item: question
                for item in objects
                if (question := item.ask(scene, None if found is None else taken(item, found, size))) is not None
            }
        if not asked:
            return {}
        with stage(self.timings, "decode"):
            prompts = [question.prompt for question in asked.values()]
            answers = list(self._predictor.answers(scene.embedding, prompts, MAX_PROMPTS))
        with stage(self.timings, "judge"):
            return {
                item: detection
                for (item, question), answer in zip(asked.items(), answers, strict=True)
                if (detection := item.judge(scene, question, answer)) is not None
            }

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
