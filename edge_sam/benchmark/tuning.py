"""Which way of running a model is the fastest on this machine, found by measuring (`edge-sam tune`)."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_sam.bundles.bundle import Bundle
from edge_sam.bundles.precisions import find_precision
from edge_sam.errors import InputError, RuntimeUnavailableError, one_line
from edge_sam.imaging.masks import iou
from edge_sam.inference.cache import Best, Tuned, remember, tuning_key
from edge_sam.inference.choice import Choice
from edge_sam.loading import load_choice
from edge_sam.predictor import Predictor
from edge_sam.prompts import Prompt
from edge_sam.result import Result
from edge_sam.runtimes import why_unusable
from edge_sam.system.timing import elapsed_ms

REFERENCE = "onnxruntime"
"""The runtime whose masks in the most exact precision the others are held to."""
CLICKS = 3
"""Clicks that one photograph is worth, in the time that candidates are ranked by: people click more than once."""
_GRID = (0.2, 0.4, 0.6, 0.8)


@dataclass
class Row:
    """One candidate and what was measured of it.

    Attributes
    ----------
    choice : Choice
        What was run.
    provider : str
        The provider that really ran.
    encode_ms, click_ms : list of float
        Times in milliseconds, one a photograph and round; a click is one point to three masks at full size.
    iou : float
        Mean IoU with the reference's masks over all photographs and points.
    rejected : str, optional
        Why it is out of the running.
    """

    choice: Choice
    provider: str = ""
    encode_ms: list[float] = field(default_factory=list)
    click_ms: list[float] = field(default_factory=list)
    iou: float = float("nan")
    rejected: str | None = None

    @property
    def total_ms(self) -> float:
        """Median time of a photograph with `CLICKS` clicks."""
        return float(np.median(self.encode_ms) + CLICKS * np.median(self.click_ms))


def candidates(bundle: Bundle, runtimes: Sequence[str], threads: Sequence[int | None]) -> list[Choice]:
    """List every runtime that is usable here, with every precision of the bundle and number of threads.

    Raises
    ------
    InputError
        None of the runtimes is usable here.
    """
    usable = [name for name in runtimes if why_unusable(name) is None]
    if not usable:
        reasons = "; ".join(f"{name}: {why_unusable(name)}" for name in runtimes)
        raise InputError(f"none of the runtimes is usable here: {reasons}")
    return [
        Choice(runtime, precision, count, "tuning")
        for runtime in usable
        for precision in bundle.precisions
        for count in threads
    ]


def measure(
    bundle: Bundle,
    choices: Sequence[Choice],
    photographs: Sequence[NDArray[np.uint8]],
    rounds: int,
    progress: Callable[[str], None],
) -> list[Row]:
    """Time every candidate on every photograph, in turns, so that a drifting machine treats all alike.

    What is timed is what a long run has: before it, each candidate is warmed up for the photograph's size.

    Parameters
    ----------
    bundle : Bundle
        The model.
    choices : sequence of Choice
        What to compare.
    photographs : sequence of ndarray of uint8, (height, width, 3)
        RGB.
    rounds : int
        How often each photograph is timed.
    progress : callable
        Told each step, in words.

    Returns
    -------
    list of Row
        The fastest first; rejected candidates last.
    """
    reference = _masks(load_choice(bundle, Choice(REFERENCE, bundle.exact[0], None, "reference")), photographs)
    rows = [Row(choice) for choice in choices]
    running: list[tuple[Row, Predictor]] = []
    for row in rows:
        progress(f"{row.choice.runtime} {row.choice.precision}: loading and comparing masks")
        predictor = _load_and_compare(bundle, row, photographs, reference)
        if predictor is not None:
            running.append((row, predictor))
    for number, photograph in enumerate(photographs, start=1):
        progress(f"timing photograph {number} of {len(photographs)}")
        for turn in range(1 + rounds):
            for row, predictor in running:
                try:
                    if turn:
                        _time(row, predictor, photograph)
                    else:
                        predictor.warm_up(photograph)
                except RuntimeUnavailableError as error:  # Out of memory, say, once others were loaded too.
                    row.rejected = row.rejected or one_line(error)
    return sorted(rows, key=lambda row: (row.rejected is not None, row.total_ms if row.encode_ms else 0.0))


def keep(bundle: Bundle, rows: Sequence[Row]) -> bool:
    """Remember the fastest for ``runtime="auto"``. Returns False where the cache cannot be written.

    Raises
    ------
    RuntimeUnavailableError
        Every candidate was rejected.
    """
    best = rows[0]
    if best.rejected is not None:
        raise RuntimeUnavailableError(f"nothing is usable here; {best.choice.runtime}: {best.rejected}")
    choice = best.choice
    best_choice = Best(choice.runtime, choice.precision, choice.threads)
    record = Tuned(best_choice, datetime.date.today().isoformat(), tuple(report(row) for row in rows))
    return remember(tuning_key(bundle), record)


def report(row: Row) -> dict[str, str | float | None]:
    """Turn a row into what JSON can hold; times are medians in milliseconds."""
    measured = row.rejected is None
    return {
        "runtime": row.choice.runtime,
        "provider": row.provider or None,
        "precision": row.choice.precision,
        "threads": row.choice.threads,
        "encode_ms": round(float(np.median(row.encode_ms)), 2) if measured else None,
        "click_ms": round(float(np.median(row.click_ms)), 2) if measured else None,
        "total_ms": round(row.total_ms, 2) if measured else None,
        "iou": None if np.isnan(row.iou) else round(row.iou, 4),
        "rejected": row.rejected,
    }


def _load_and_compare(
    bundle: Bundle, row: Row, photographs: Sequence[NDArray[np.uint8]], reference: Sequence[Result]
) -> Predictor | None:
    """Load a candidate; None, with the reason in its row, where that fails or its masks are not the reference's."""
    try:
        predictor = load_choice(bundle, row.choice)
        row.provider = predictor.provider
        row.iou = _mean_iou(_masks(predictor, photographs), reference)
    except RuntimeUnavailableError as error:
        row.rejected = one_line(error)
        return None
    needed = find_precision(row.choice.precision).min_iou
    if row.iou < needed:
        row.rejected = f"its masks agree with the reference's to a mean IoU of {row.iou:.3f} only ({needed} needed)"
        return None
    return predictor


def _time(row: Row, predictor: Predictor, photograph: NDArray[np.uint8]) -> None:
    start = time.perf_counter()
    embedding = predictor.encode(photograph)
    row.encode_ms.append(elapsed_ms(start))
    for prompt in list(_points(photograph))[:CLICKS]:
        start = time.perf_counter()
        predictor.predict(embedding, prompt)
        row.click_ms.append(elapsed_ms(start))


def _points(photograph: NDArray[np.uint8]) -> Iterator[Prompt]:
    height, width = photograph.shape[:2]
    for y in _GRID:
        for x in _GRID:
            yield Prompt(points=[(x * width, y * height)])


def _masks(predictor: Predictor, photographs: Sequence[NDArray[np.uint8]]) -> list[Result]:
    return [
        result
        for photograph in photographs
        for result in predictor.predict(predictor.encode(photograph), list(_points(photograph)), multimask=False)
    ]


def _mean_iou(ours: Sequence[Result], reference: Sequence[Result]) -> float:
    return float(np.mean([iou(a.masks[0], b.masks[0]) for a, b in zip(ours, reference, strict=True)]))
