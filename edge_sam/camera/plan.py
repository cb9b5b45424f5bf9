"""Which model runs in which runtime at which setting: as asked for, or as measured on the first frame."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_sam.bundle import Bundle, open_bundle
from edge_sam.cache import Tuned, recall, tuning_key
from edge_sam.camera.deadline import LONG_SIDES, Deadline, Setting
from edge_sam.following import Follower
from edge_sam.geometry import Geometry
from edge_sam.loading import load, load_choice
from edge_sam.predictor import Predictor
from edge_sam.prompts import Prompt
from edge_sam.runtimes import AUTO, RuntimeUnavailableError, probe
from edge_sam.tuning import candidates

DEFAULT_LONG_SIDE = 512
_COMPARED_AT = 512
_SHIFT = 8
"""Pixels by which a frame is moved so that it is one more to follow into."""
_log = logging.getLogger("edge_sam")


class Plan:
    """How frames are segmented.

    Parameters
    ----------
    model : Predictor, str or Path
        A loaded model, or a bundle, which is then loaded in the runtime and precision that are the fastest here.
    long_side : int, optional
        Default: 512, or with a deadline whatever meets it.
    budget_ms : float, optional
        See `edge_sam.Stream`.
    fps : float, optional
        See `edge_sam.Stream`.

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

    def __init__(
        self,
        model: Predictor | str | Path,
        long_side: int | None = None,
        budget_ms: float | None = None,
        fps: float | None = None,
    ) -> None:
        Geometry((1, 1), long_side or DEFAULT_LONG_SIDE)  # Refuses an impossible long side now, not in a thread.
        self.predictor = model if isinstance(model, Predictor) else None
        self.setting = Setting(long_side or DEFAULT_LONG_SIDE)
        self._model = model
        self._wanted = (budget_ms, fps)
        self._long_sides = (long_side,) if long_side else LONG_SIDES
        self._deadline: Deadline | None = None

    @property
    def met(self) -> bool:
        """Whether the deadline is met as far as the measured times say; True without one."""
        return self._deadline is None or self._deadline.met

    def prepare(self, image: NDArray[np.uint8], prompts: Sequence[Prompt]) -> Predictor:
        """Load what is not loaded yet and, where there is a deadline, measure on this frame what each setting takes."""
        prompts = prompts or [_middle(image)]
        if self.predictor is None:
            assert not isinstance(self._model, Predictor)
            compare = self._wanted != (None, None)
            self.predictor = _fastest(self._model, image, prompts) if compare else load(self._model)
        if self._wanted != (None, None):
            encoded, carried = _measure(self.predictor, image, prompts, self._long_sides)
            _log.info("milliseconds by long side: %s, carried: %.1f", encoded, carried)
            self._deadline = Deadline(encoded, carried, *self._wanted)
            self.setting = self._deadline.setting
            if not self._deadline.met:
                _log.warning("this machine cannot meet the deadline (%s); going as fast as it can", _told(encoded))
        return self.predictor

    def learn(self, milliseconds: float, *, encoded: bool) -> None:
        """Take note of what a frame took; see `Deadline.learn`."""
        if self._deadline is not None:
            self.setting = self._deadline.learn(milliseconds, encoded=encoded)

    def __str__(self) -> str:
        every = f", every {self.setting.interval}. frame encoded" if self.setting.interval > 1 else ""
        where = f"{self.predictor.runtime} {self.predictor.precision}, " if self.predictor else ""
        return f"{where}long side {self.setting.long_side}{every}"


def _fastest(model: str | Path, image: NDArray[np.uint8], prompts: Sequence[Prompt]) -> Predictor:
    """Load the model in each runtime that is usable here and keep the fastest on this frame."""
    bundle = open_bundle(model)
    usable = [name for name in AUTO if probe(name) is None]
    if len(usable) < 2 or recall(tuning_key(bundle), Tuned) is not None:
        return load(model)  # `edge-sam tune` has compared more, and on more photographs.
    found: list[tuple[float, Predictor]] = []
    for predictor in _loaded(bundle, usable):
        found.append((_milliseconds(predictor, image, prompts, _COMPARED_AT), predictor))
        _log.info("%s in %s: %.1f ms a frame", predictor.runtime, predictor.precision, found[-1][0])
        found = [min(found, key=lambda pair: pair[0])]
    return found[0][1] if found else load(model)


def _loaded(bundle: Bundle, runtimes: Sequence[str]) -> Iterator[Predictor]:
    """Load each runtime in the first precision whose arithmetic is exact; leave out what fails."""
    for choice in candidates(bundle, runtimes, [None]):
        if choice.precision != bundle.exact[0]:
            continue
        try:
            yield load_choice(bundle, choice)
        except RuntimeUnavailableError as error:
            _log.info("%s is left out: %s", choice.runtime, error)


def _measure(
    predictor: Predictor, image: NDArray[np.uint8], prompts: Sequence[Prompt], long_sides: Sequence[int]
) -> tuple[dict[int, float], float]:
    """Milliseconds for an encoded frame by long side, and for one whose masks are carried by optical flow."""
    encoded = {side: _milliseconds(predictor, image, prompts, side) for side in long_sides}
    follower = Follower(predictor, long_side=min(long_sides))
    follower.start(image, prompts)
    moved = np.roll(image, _SHIFT, axis=1)
    carried = min(_timed(partial(follower.step, frame, encode=False)) for frame in (moved, image))
    return encoded, carried


def _milliseconds(predictor: Predictor, image: NDArray[np.uint8], prompts: Sequence[Prompt], long_side: int) -> float:
    """Time one step of following; the first one, which also reserves memory, is left out."""
    follower = Follower(predictor, long_side=long_side)
    follower.start(image, prompts)
    times = []
    for frame in (np.roll(image, _SHIFT, axis=1), image):
        times.append(_timed(lambda frame=frame: follower.step(frame)))  # type: ignore[misc]
        if "encode" not in follower.timings:  # A picture without content is the same wherever it is moved to.
            times[-1] = _timed(partial(follower.start, frame, prompts))
    return min(times)


def _timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1000


def _middle(image: NDArray[np.uint8]) -> Prompt:
    """Prompt for something, to be timed while nobody has asked for anything."""
    height, width = image.shape[:2]
    return Prompt(box=(width / 4, height / 4, 3 * width / 4, 3 * height / 4))


def _told(encoded: dict[int, float]) -> str:
    return ", ".join(f"{milliseconds:.0f} ms at long side {side}" for side, milliseconds in encoded.items())
