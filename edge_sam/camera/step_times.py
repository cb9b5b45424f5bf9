"""Time of one tracking step in each runtime and at each long side, measured on one frame."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sam.bundles.bundle import open_bundle
from edge_sam.errors import RuntimeUnavailableError
from edge_sam.inference.cache import Tuned, read_record, tuning_key
from edge_sam.inference.choice import choices, why_not
from edge_sam.inference.run_options import RunOptions
from edge_sam.loading import load, load_choice
from edge_sam.predictor import Predictor
from edge_sam.prompts import Prompt
from edge_sam.runtimes import PAIRS
from edge_sam.system.timing import elapsed_ms
from edge_sam.tracking import Tracker
from edge_sam.tracking.stillness import Stillness

_COMPARED_AT = 512
_PARTS = 32
"""A frame is shifted by 1/32 of its sides: a patch of `Stillness` at a long side of 256."""
_log = logging.getLogger("edge_sam")


def load_fastest(model: str | Path, image: NDArray[np.uint8], prompts: Sequence[Prompt]) -> Predictor:
    """Load a model in the usable runtime that is the fastest on this frame."""
    bundle = open_bundle(model)
    found = choices(bundle, RunOptions())
    ways = [choice for choice in found if choice.precision == found[0].precision]
    ways += [replace(ways[0], runtime=pair) for pair in PAIRS if why_not(bundle, pair) is None]
    if len(ways) < 2 or read_record(tuning_key(bundle), Tuned) is not None:
        return load(model)  # `edge-sam tune` has compared more settings on more photographs.
    took: dict[str, float] = {}
    for choice in ways:
        try:
            took[choice.runtime] = _step_ms(load_choice(bundle, choice), image, prompts, _COMPARED_AT)
        except RuntimeUnavailableError as error:
            _log.info("skipping %s: %s", choice.runtime, error)
        else:
            _log.info("%s in %s: %.1f ms per frame", choice.runtime, choice.precision, took[choice.runtime])
    if not took:
        return load(model)
    return load(model, runtime=min(took, key=lambda runtime: took[runtime]), precision=found[0].precision)


def measure(
    predictor: Predictor, image: NDArray[np.uint8], prompts: Sequence[Prompt], long_sides: Sequence[int]
) -> tuple[dict[int, float], float]:
    """Return milliseconds for an encoded frame by long side, and for a frame whose masks optical flow carries."""
    encoded = {side: _step_ms(predictor, image, prompts, side) for side in long_sides}
    return encoded, _step_ms(predictor, image, prompts, min(long_sides), encode=False)


def _step_ms(
    predictor: Predictor, image: NDArray[np.uint8], prompts: Sequence[Prompt], long_side: int, *, encode: bool = True
) -> float:
    """Time one tracking step in the steady state of a long run."""
    predictor.warm_up(image, long_side=long_side)
    tracker = Tracker(predictor, long_side=long_side)
    first, *others = distinct_frames(image, long_side)
    tracker.start(first, prompts)
    times = []
    for frame in others:
        start = time.perf_counter()
        tracker.step(frame, encode=encode)
        times.append(elapsed_ms(start))
    return min(times)


def distinct_frames(image: NDArray[np.uint8], long_side: int) -> list[NDArray[np.uint8]]:
    """Make three frames that differ so much that the tracker has to encode each of them.

    They are the image and two shifted copies. If a shift changes too little, they are coloured squares.
    """
    coarse = np.random.default_rng(0).integers(0, 256, (_PARTS, _PARTS, 3), dtype=np.uint8)
    squares = cv2.resize(coarse, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    shift = np.maximum(1, np.array(image.shape[:2]) // _PARTS)
    for frame in (image, np.asarray(squares, dtype=np.uint8)):
        frames = [np.roll(frame, way * shift, axis=(0, 1)) for way in (0, 1, -1)]
        if not any(_alike(*pair, long_side) for pair in itertools.combinations(frames, 2)):
            break
    return frames


def _alike(before: NDArray[np.uint8], after: NDArray[np.uint8], long_side: int) -> bool:
    stillness = Stillness()
    stillness.keep(before, long_side)
    return stillness.still(after, long_side)
