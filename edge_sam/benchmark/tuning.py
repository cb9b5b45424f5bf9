"""Find the fastest runtime, precision and number of threads on this machine by measuring (`edge-sam tune`)."""

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
from edge_sam.inference.cache import Best, Tuned, tuning_key, write_record
from edge_sam.inference.choice import Choice
from edge_sam.loading import load_choice
from edge_sam.predictor import Predictor
from edge_sam.prompts import Prompt
from edge_sam.result import Result
from edge_sam.runtimes import REFERENCE, arithmetics, why_unusable
from edge_sam.system.timing import elapsed_ms

CLICKS = 3
"""Clicks per photograph in the time that candidates are ranked by, because people click more than once."""
_GRID = (0.2, 0.4, 0.6, 0.8)


@dataclass
class TuningRow:
    """One candidate and its figures.

    Attributes
    ----------
    choice : Choice
        The candidate.
    provider : str
        The provider in use.
    encode_ms, click_ms : list of float
        Milliseconds for each photograph and round. A click goes from one point to three masks at full size.
    iou : float
        Mean IoU with the reference's masks over all photographs and points.
    rejected : str, optional
        Why the candidate is rejected.
    """

    choice: Choice
    provider: str = ""
    encode_ms: list[float] = field(default_factory=list)
    click_ms: list[float] = field(default_factory=list)
    iou: float = float("nan")
    rejected: str | None = None

    @property
    def total_ms(self) -> float:
        """Median time for a photograph with `CLICKS` clicks."""
        return float(np.median(self.encode_ms) + CLICKS * np.median(self.click_ms))


def candidates(bundle: Bundle, runtimes: Sequence[str], threads: Sequence[int | None]) -> list[Choice]:
    """Combine the usable runtimes with the bundle's precisions, their own arithmetics, and the numbers of threads.

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
        for precision in (*bundle.precisions, *filter(bundle.runs_in, arithmetics(runtime)))
        for count in threads
    ]


def measure(
    bundle: Bundle,
    choices: Sequence[Choice],
    photographs: Sequence[NDArray[np.uint8]],
    rounds: int,
    progress: Callable[[str], None],
) -> list[TuningRow]:
    """Time every candidate on every photograph, interleaved so that drift affects all alike.

    Each candidate is warmed up for the photograph's size first, so times are those of a long run.

    Parameters
    ----------
    bundle : Bundle
        The model.
    choices : sequence of Choice
        The candidates.
    photographs : sequence of ndarray of uint8, (height, width, 3)
        RGB.
    rounds : int
        Timed rounds over each photograph.
    progress : callable
        Called with a description of each step.

    Returns
    -------
    list of TuningRow
        Fastest first, rejected candidates last.
    """
    reference = _masks(load_choice(bundle, Choice(REFERENCE, bundle.exact[0], None, "reference")), photographs)
    rows = [TuningRow(choice) for choice in choices]
    running: list[tuple[TuningRow, Predictor]] = []
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
                except RuntimeUnavailableError as error:  # For example out of memory with all candidates loaded.
                    row.rejected = row.rejected or one_line(error)
    return sorted(rows, key=lambda row: (row.rejected is not None, row.total_ms if row.encode_ms else 0.0))


def keep(bundle: Bundle, rows: Sequence[TuningRow]) -> bool:
    """Store the fastest candidate for ``runtime="auto"``. Returns False if the cache is not writable.

    Raises
    ------
    RuntimeUnavailableError
        Every candidate was rejected.
    """
    best = rows[0]
    if best.rejected is not None:
        raise RuntimeUnavailableError(f"no candidate is usable here; {best.choice.runtime}: {best.rejected}")
    choice = best.choice
    best_choice = Best(choice.runtime, choice.precision, choice.threads)
    record = Tuned(best_choice, datetime.date.today().isoformat(), tuple(report(row) for row in rows))
    return write_record(tuning_key(bundle), record)


def report(row: TuningRow) -> dict[str, str | float | None]:
    """Convert a row to JSON values. Times are medians in milliseconds."""
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
    bundle: Bundle, row: TuningRow, photographs: Sequence[NDArray[np.uint8]], reference: Sequence[Result]
) -> Predictor | None:
    """Load a candidate. None if that fails or its masks differ; the row then has the reason."""
    try:
        predictor = load_choice(bundle, row.choice)
        row.provider = predictor.provider
        row.iou = _mean_iou(_masks(predictor, photographs), reference)
    except RuntimeUnavailableError as error:
        row.rejected = one_line(error)
        return None
    needed = find_precision(row.choice.precision).min_iou
    if row.iou < needed:
        row.rejected = f"its masks have a mean IoU of only {row.iou:.3f} with the reference's ({needed} needed)"
        return None
    return predictor


def _time(row: TuningRow, predictor: Predictor, photograph: NDArray[np.uint8]) -> None:
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
