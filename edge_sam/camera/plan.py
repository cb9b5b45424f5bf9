"""Which model runs in which runtime at which setting: as asked for, or as measured on the first frame."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_sam.camera.deadline import LONG_SIDES, Deadline, Setting, Target
from edge_sam.camera.rehearsal import load_fastest, measure
from edge_sam.errors import one_line
from edge_sam.loading import load
from edge_sam.predictor import Predictor
from edge_sam.prompts import Prompt

DEFAULT_LONG_SIDE = 512
_log = logging.getLogger("edge_sam")


class Plan:
    """How frames are segmented.

    Parameters
    ----------
    model : Predictor, str or Path
        A loaded model, or a bundle, which is then loaded in the runtime and precision that are the fastest here.
    long_side : int, optional
        Default: 512, or with a deadline whatever meets it.
    target : Target
        The deadline.

    Attributes
    ----------
    setting : Setting
        In use now.
    predictor : Predictor or None
        In use, once there was a frame or where a loaded one was given.

    Raises
    ------
    InputError
        An impossible long side.
    """

    def __init__(self, model: Predictor | str | Path, long_side: int | None, target: Target) -> None:
        self.predictor = model if isinstance(model, Predictor) else None
        self.setting = Setting(long_side or DEFAULT_LONG_SIDE)
        self._model = model
        self._target = target
        self._long_sides = (long_side,) if long_side else LONG_SIDES
        self._deadline: Deadline | None = None
        self._warming = threading.Thread()

    @property
    def met(self) -> bool:
        """Whether the deadline is met as far as the measured times say; True without one."""
        return self._deadline is None or self._deadline.met

    def prepare(self, image: NDArray[np.uint8], prompts: Sequence[Prompt]) -> Predictor:
        """Load what is not loaded yet and, where there is a deadline, measure on this frame what each setting takes."""
        prompts = prompts or [_middle(image)]
        if self.predictor is None:
            assert not isinstance(self._model, Predictor)
            self.predictor = load_fastest(self._model, image, prompts) if self._target else load(self._model)
        if self._target:
            encoded, carried = measure(self.predictor, image, prompts, self._long_sides)
            _log.info("milliseconds by long side: %s, carried: %.1f", encoded, carried)
            self._deadline = Deadline(encoded, carried, self._target)
            self.setting = self._deadline.setting
            self.predictor.warm_up(image, long_side=self.setting.long_side)
            if not self._deadline.met:
                _log.warning("this machine cannot meet the deadline (%s); going as fast as it can", _told(encoded))
        return self.predictor

    def learn(self, image: NDArray[np.uint8], milliseconds: float, *, encoded: bool) -> None:
        """Take note of what this frame took; see `Deadline.learn`.

        When that changes the long side, the runtime is warmed up for it beside the next frames, and what these take
        does not count.
        """
        if self._deadline is None or self._warming.is_alive():
            return
        before, self.setting = self.setting, self._deadline.learn(milliseconds, encoded=encoded)
        if self.setting.long_side != before.long_side:
            self._warming = threading.Thread(target=self._warm_up, args=(image, self.setting.long_side))
            self._warming.start()

    def _warm_up(self, image: NDArray[np.uint8], long_side: int) -> None:
        assert self.predictor is not None
        try:
            self.predictor.warm_up(image, long_side=long_side)
        except Exception as error:  # The next frame meets it as well, and whoever waits for that is told.
            _log.info("long side %d could not be warmed up: %s", long_side, one_line(error))

    def __str__(self) -> str:
        where = f"{self.predictor.runtime} {self.predictor.precision}, " if self.predictor else ""
        return f"{where}{self.setting}"


def _middle(image: NDArray[np.uint8]) -> Prompt:
    """Prompt for something, to be timed while nobody has asked for anything."""
    height, width = image.shape[:2]
    return Prompt(box=(width / 4, height / 4, 3 * width / 4, 3 * height / 4))


def _told(encoded: dict[int, float]) -> str:
    return ", ".join(f"{milliseconds:.0f} ms at long side {side}" for side, milliseconds in encoded.items())
