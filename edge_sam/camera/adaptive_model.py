"""A model with its runtime and setting, as given or as measured on the first frame."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_sam.camera.deadline import LONG_SIDES, Deadline, DeadlineController, Setting
from edge_sam.camera.step_times import load_fastest, measure
from edge_sam.errors import one_line
from edge_sam.loading import load
from edge_sam.predictor import Predictor
from edge_sam.prompts import Prompt

DEFAULT_LONG_SIDE = 512
_log = logging.getLogger("edge_sam")


class AdaptiveModel:
    """A model whose runtime and setting adapt to a deadline.

    Parameters
    ----------
    model : Predictor, str or Path
        A loaded model, or a bundle. With a deadline, a bundle is loaded in the fastest runtime.
    long_side : int, optional
        Default: 512, or with a deadline the one that meets it.
    deadline : Deadline

    Attributes
    ----------
    setting : Setting
        The present setting.
    predictor : Predictor or None
        None before the first frame, unless a loaded model was given.

    Raises
    ------
    InputError
        The long side is invalid.
    """

    def __init__(self, model: Predictor | str | Path, long_side: int | None, deadline: Deadline) -> None:
        self.predictor = model if isinstance(model, Predictor) else None
        self.setting = Setting(long_side or DEFAULT_LONG_SIDE)
        self._model = model
        self._deadline = deadline
        self._long_sides = (long_side,) if long_side else LONG_SIDES
        self._controller: DeadlineController | None = None
        self._warming = threading.Thread()

    @property
    def met(self) -> bool:
        """Whether the measured times meet the deadline. True without a deadline."""
        return self._controller is None or self._controller.met

    def prepare(self, image: NDArray[np.uint8], prompts: Sequence[Prompt]) -> Predictor:
        """Load the model if necessary. With a deadline, measure the settings on this frame and choose one."""
        prompts = prompts or [_central_box(image)]
        if self.predictor is None:
            assert not isinstance(self._model, Predictor)
            self.predictor = load_fastest(self._model, image, prompts) if self._deadline else load(self._model)
        if self._deadline:
            encoded, carried = measure(self.predictor, image, prompts, self._long_sides)
            _log.info("milliseconds by long side: %s, carried: %.1f", encoded, carried)
            self._controller = DeadlineController(encoded, carried, self._deadline)
            self.setting = self._controller.setting
            self.predictor.warm_up(image, long_side=self.setting.long_side)
            if not self._controller.met:
                _log.warning("this machine cannot meet the deadline (%s); using the fastest setting", _listed(encoded))
        return self.predictor

    def learn(self, image: NDArray[np.uint8], milliseconds: float, *, encoded: bool) -> None:
        """Record the time of this frame; see `DeadlineController.learn`.

        If that changes the long side, a thread warms up the runtime for it. The times of the frames that are segmented
        meanwhile do not count.
        """
        if self._controller is None or self._warming.is_alive():
            return
        before, self.setting = self.setting, self._controller.learn(milliseconds, encoded=encoded)
        if self.setting.long_side != before.long_side:
            self._warming = threading.Thread(target=self._warm_up, args=(image, self.setting.long_side))
            self._warming.start()

    def _warm_up(self, image: NDArray[np.uint8], long_side: int) -> None:
        assert self.predictor is not None
        try:
            self.predictor.warm_up(image, long_side=long_side)
        except Exception as error:  # The next frame fails the same way, and the stream raises its error.
            _log.info("could not warm up long side %d: %s", long_side, one_line(error))

    def __str__(self) -> str:
        where = f"{self.predictor.runtime} {self.predictor.precision}, " if self.predictor else ""
        return f"{where}{self.setting}"


def _central_box(image: NDArray[np.uint8]) -> Prompt:
    """Return a prompt to measure with while the user has given none."""
    height, width = image.shape[:2]
    return Prompt(box=(width / 4, height / 4, 3 * width / 4, 3 * height / 4))


def _listed(encoded: dict[int, float]) -> str:
    return ", ".join(f"{milliseconds:.0f} ms at long side {side}" for side, milliseconds in encoded.items())
