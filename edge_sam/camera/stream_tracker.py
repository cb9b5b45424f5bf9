"""Tracking through the frames of a stream, while prompts and the setting may change."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_sam.camera.adaptive_model import AdaptiveModel
from edge_sam.camera.frames import Captured, StreamFrame
from edge_sam.errors import InputError
from edge_sam.prompts import Prompt, check_prompts
from edge_sam.system.timing import elapsed_ms
from edge_sam.tracking import Tracked, Tracker


class MorePrompts(NamedTuple):
    """Prompts for further objects. The objects at the places `kept` of the last answer go on, the others do not."""

    prompts: Sequence[Prompt]
    kept: Sequence[int]


PromptCallback = Callable[[Captured], Prompt | Sequence[Prompt] | MorePrompts | None]
_log = logging.getLogger("edge_sam")


class StreamTracker:
    """Tracks objects through the frames of one stream. Frames come from one thread, prompts from any.

    Parameters
    ----------
    model : AdaptiveModel
    prompts : sequence of Prompt, or callable
        See `edge_sam.Stream`.
    size : tuple of int, optional
        See `edge_sam.Stream`.
    """

    def __init__(
        self,
        model: AdaptiveModel,
        prompts: Prompt | Sequence[Prompt] | PromptCallback,
        size: tuple[int, int] | None = None,
    ) -> None:
        self.model = model
        self._size = size
        self._tracker: Tracker | None = None
        self._ask = prompts if callable(prompts) else None
        self._lock = threading.Lock()
        self._given: list[Prompt] | None = None if callable(prompts) else check_prompts(prompts)
        self._asked: list[Prompt] | None = None
        self._tracking = False
        self._since_encoded = 0

    def prepare(self, captured: Captured) -> None:
        """Load the model and measure the settings on this frame; see `AdaptiveModel.prepare`.

        Raises
        ------
        InputError
            The prompts do not fit the frame, or were made for a frame of another size.
        """
        height, width = captured.image.shape[:2]
        if self._size not in (None, (height, width)):
            made_for = "×".join(map(str, self._size[::-1]))
            raise InputError(
                f"the prompts are for frames of {made_for} pixels, but the first frame has {width}×{height}"
            )
        prompts, _ = self._choose(self._asked, captured)
        self._tracker = Tracker(self.model.prepare(captured.image, prompts or []))

    def prompt(self, prompts: Prompt | Sequence[Prompt]) -> None:
        """Track these objects from the next frame on, in place of the earlier ones. An empty sequence tracks nothing.

        Raises
        ------
        InputError
            `prompts` is not a sequence of prompts.
        """
        asked = check_prompts(prompts)
        with self._lock:
            self._asked = asked

    def __call__(self, captured: Captured) -> StreamFrame:
        """Segment a frame. Call `prepare` first.

        Raises
        ------
        InputError
            The prompts given to the constructor do not fit the frame. Later prompts that do not fit are skipped with a
            warning.
        """
        start = time.perf_counter()
        timings = {"read": captured.read_ms, "wait": elapsed_ms(captured.clock)}
        asked = self._take_prompts(captured)
        assert self._tracker is not None, "prepare comes first"
        self._tracker.long_side = self.model.setting.long_side
        long_side = self._tracker.long_side
        objects, stages = self._track(self._tracker, captured.image, asked)
        timings |= stages | {"segment": elapsed_ms(start)}
        return StreamFrame(
            image=captured.image,
            objects=objects,
            index=captured.index,
            name=captured.name,
            time=captured.time,
            encoded="encode" in stages,
            long_side=long_side,
            latency_ms=elapsed_ms(captured.clock),
            timings=timings,
        )

    def _take_prompts(self, captured: Captured) -> list[Prompt] | MorePrompts | None:
        """Return the new prompts that fit this frame, or None to go on with the earlier ones."""
        with self._lock:
            given, self._asked = self._asked, None
        asked: Prompt | Sequence[Prompt] | MorePrompts | None = given
        kept: Sequence[int] = ()
        if asked is None and self._ask is not None:
            asked = self._ask(captured)
        if isinstance(asked, MorePrompts):
            asked, kept = asked
        prompts, problem = self._choose(asked, captured)
        self._given = None
        if problem is not None:
            _log.warning("skipping the new prompt: %s", problem)
        return MorePrompts(prompts, kept) if prompts and kept else prompts

    def _choose(
        self, asked: Prompt | Sequence[Prompt] | None, captured: Captured
    ) -> tuple[list[Prompt] | None, InputError | None]:
        """Return the new prompts if they fit the frame. Else return the initial ones, which must fit, and the error."""
        problem = None
        try:
            if asked is not None:
                prompts = check_prompts(asked)
                _check(prompts, captured)
                return prompts, None
        except InputError as error:
            problem = error
        _check(self._given or (), captured)
        return self._given, problem

    def _track(
        self, tracker: Tracker, image: NDArray[np.uint8], asked: list[Prompt] | MorePrompts | None
    ) -> tuple[list[Tracked], dict[str, float]]:
        if isinstance(asked, MorePrompts):
            objects = tracker.add(image, *asked)
            self._since_encoded = 0
        elif asked:
            objects = tracker.start(image, asked)
            self._since_encoded, self._tracking = 0, True
        elif asked is None and self._tracking:
            objects = self._step(tracker, image)
        else:
            self._tracking = False
            return [], {}
        return objects, dict(tracker.timings)

    def _step(self, tracker: Tracker, image: NDArray[np.uint8]) -> list[Tracked]:
        encode = self._since_encoded + 1 >= self.model.setting.interval
        self._since_encoded = 0 if encode else self._since_encoded + 1
        start = time.perf_counter()
        objects = tracker.step(image, encode=encode)
        if "reused" not in tracker.timings:  # A reused answer tells nothing about the cost of a frame.
            self.model.learn(image, elapsed_ms(start), encoded=encode)
        return objects


def _check(prompts: Sequence[Prompt], captured: Captured) -> None:
    for prompt in prompts:
        prompt.check((captured.image.shape[0], captured.image.shape[1]))
