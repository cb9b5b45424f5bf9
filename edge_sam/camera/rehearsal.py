"""Following into one frame again and again, to see what each runtime and each long side takes here."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_sam.bundle import open_bundle
from edge_sam.cache import Tuned, recall, tuning_key
from edge_sam.choice import choices
from edge_sam.following import Follower
from edge_sam.loading import load, load_choice
from edge_sam.predictor import Predictor
from edge_sam.prompts import Prompt
from edge_sam.runtimes import RuntimeUnavailableError
from edge_sam.timing import elapsed_ms

_COMPARED_AT = 512
_SHIFT = 8
"""Pixels by which a frame is moved so that it is one more to follow into."""
_log = logging.getLogger("edge_sam")


def load_fastest(model: str | Path, image: NDArray[np.uint8], prompts: Sequence[Prompt]) -> Predictor:
    """Load a model in the runtime that is the fastest on this frame, of those that are usable here."""
    bundle = open_bundle(model)
    found = choices(bundle, "auto", "auto", None)
    ways = [choice for choice in found if choice.precision == found[0].precision]
    if len(ways) < 2 or recall(tuning_key(bundle), Tuned) is not None:
        return load(model)  # `edge-sam tune` has compared more, and on more photographs.
    took: dict[str, float] = {}
    for choice in ways:
        try:
            took[choice.runtime] = _step_ms(load_choice(bundle, choice), image, prompts, _COMPARED_AT)
        except RuntimeUnavailableError as error:
            _log.info("%s is left out: %s", choice.runtime, error)
        else:
            _log.info("%s in %s: %.1f ms a frame", choice.runtime, choice.precision, took[choice.runtime])
    if not took:
        return load(model)
    return load(model, runtime=min(took, key=lambda runtime: took[runtime]), precision=found[0].precision)


def measure(
    predictor: Predictor, image: NDArray[np.uint8], prompts: Sequence[Prompt], long_sides: Sequence[int]
) -> tuple[dict[int, float], float]:
    """Milliseconds for an encoded frame by long side, and for one whose masks are carried by optical flow."""
    encoded = {side: _step_ms(predictor, image, prompts, side) for side in long_sides}
    follower = Follower(predictor, long_side=min(long_sides))
    follower.start(image, prompts)
    moved = np.roll(image, _SHIFT, axis=1)
    carried = min(_timed(partial(follower.step, frame, encode=False)) for frame in (moved, image))
    return encoded, carried


def _step_ms(predictor: Predictor, image: NDArray[np.uint8], prompts: Sequence[Prompt], long_side: int) -> float:
    """Time one step of following; the first one, which also reserves memory, is left out."""
    follower = Follower(predictor, long_side=long_side)
    follower.start(image, prompts)
    times = []
    for frame in (np.roll(image, _SHIFT, axis=1), image):
        times.append(_timed(partial(follower.step, frame)))
        if "encode" not in follower.timings:  # A picture without content is the same wherever it is moved to.
            times[-1] = _timed(partial(follower.start, frame, prompts))
    return min(times)


def _timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return elapsed_ms(start)
