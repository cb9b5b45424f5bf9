"""Find the fastest runtime, precision and number of threads on this machine by measuring (`edge-sam tune`)."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import InputError, RuntimeUnavailableError, one_line
from edge_sam.inference.cache import Best, Tuned, write_record
from edge_sam.inference.choice import Choice
from edge_sam.runtimes import why_unusable

_Loaded = TypeVar("_Loaded")


class Tunable(Protocol[_Loaded]):
    """What can be tuned: a model or a matcher.

    Attributes
    ----------
    name : str
        For messages.
    key : str
        Under which the result is kept.
    stages : mapping of str to int
        The stages that are timed, and how often each counts for one photograph.
    agreement : str
        What `compare` measures.
    """

    name: str
    key: str
    stages: Mapping[str, int]
    agreement: str

    def precisions(self, runtime: str) -> Sequence[str]:
        """List what a usable runtime can compute in; nothing if it does not read the files."""
        ...

    def load(self, choice: Choice) -> _Loaded:
        """Load a candidate. Raises `RuntimeUnavailableError`."""
        ...

    def provider(self, loaded: _Loaded) -> str:
        """Return the provider in use."""
        ...

    def compare(self, loaded: _Loaded, precision: str) -> tuple[float, str | None]:
        """Compare a candidate's answers with the reference's. Returns how they agree, and why that is not enough."""
        ...

    def warm_up(self, loaded: _Loaded, photograph: NDArray[np.uint8]) -> None:
        """Let the runtime compile for the photograph's size."""
        ...

    def time(self, loaded: _Loaded, photograph: NDArray[np.uint8]) -> Iterator[tuple[str, float]]:
        """Run once. Yields stages and their milliseconds."""
        ...


@dataclass
class TuningRow:
    """One candidate and its figures.

    Attributes
    ----------
    choice : Choice
        The candidate.
    stages : mapping of str to int
        See `Tunable`.
    provider : str
        The provider in use.
    times : dict of str to list of float
        Milliseconds of each stage for each photograph and round.
    agreement : float
        See `Tunable.compare`.
    rejected : str, optional
        Why the candidate is rejected.
    """

    choice: Choice
    stages: Mapping[str, int]
    provider: str = ""
    times: dict[str, list[float]] = field(default_factory=dict)
    agreement: float = float("nan")
    rejected: str | None = None

    @property
    def total_ms(self) -> float:
        """Sum of the stages' median times for one photograph. 0 if nothing was timed."""
        return sum(count * float(np.median(self.times[stage])) for stage, count in self.stages.items() if self.times)


def candidates(tunable: Tunable[_Loaded], runtimes: Sequence[str], threads: Sequence[int | None]) -> list[Choice]:
    """Combine the usable runtimes with the precisions that each can compute in and the numbers of threads.

    Raises
    ------
    InputError
        None of the runtimes is usable here, or reads the files.
    """
    usable = [name for name in runtimes if why_unusable(name) is None]
    if not usable:
        reasons = "; ".join(f"{name}: {why_unusable(name)}" for name in runtimes)
        raise InputError(f"none of the runtimes is usable here: {reasons}")
    found = [
        Choice(runtime, precision, count, "tuning")
        for runtime in usable
        for precision in tunable.precisions(runtime)
        for count in threads
    ]
    if not found:
        raise InputError(f"{', '.join(usable)}: none of them reads the files of {tunable.name}")
    return found


def measure(
    tunable: Tunable[_Loaded],
    choices: Sequence[Choice],
    photographs: Sequence[NDArray[np.uint8]],
    rounds: int,
    progress: Callable[[str], None],
) -> list[TuningRow]:
    """Time every candidate on every photograph, interleaved so that drift affects all alike.

    Each candidate is warmed up for the photograph's size first, so times are those of a long run.

    Parameters
    ----------
    tunable : Tunable
        The model or the matcher.
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
    rows = [TuningRow(choice, tunable.stages) for choice in choices]
    running: list[tuple[TuningRow, _Loaded]] = []
    for row in rows:
        progress(f"{row.choice.runtime} {row.choice.precision}: loading and comparing")
        try:
            loaded = tunable.load(row.choice)
            row.provider = tunable.provider(loaded)
            row.agreement, row.rejected = tunable.compare(loaded, row.choice.precision)
        except RuntimeUnavailableError as error:
            row.rejected = one_line(error)
        if row.rejected is None:
            running.append((row, loaded))
    for number, photograph in enumerate(photographs, start=1):
        progress(f"timing photograph {number} of {len(photographs)}")
        for turn in range(1 + rounds):
            for row, loaded in running:
                try:
                    if not turn:
                        tunable.warm_up(loaded, photograph)
                        continue
                    for stage, milliseconds in tunable.time(loaded, photograph):
                        row.times.setdefault(stage, []).append(milliseconds)
                except RuntimeUnavailableError as error:  # For example out of memory with all candidates loaded.
                    row.rejected = row.rejected or one_line(error)
    return sorted(rows, key=lambda row: (row.rejected is not None, row.total_ms))


def keep(tunable: Tunable[_Loaded], rows: Sequence[TuningRow]) -> bool:
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
    table = tuple(report(row, tunable.agreement) for row in rows)
    return write_record(tunable.key, Tuned(best_choice, datetime.date.today().isoformat(), table))


def report(row: TuningRow, agreement: str) -> dict[str, str | float | None]:
    """Convert a row to JSON values, `TuningRow.agreement` under this name. Times are medians in milliseconds."""
    times = {stage: np.median(row.times[stage]) if row.rejected is None else None for stage in row.stages}
    return {
        "runtime": row.choice.runtime,
        "provider": row.provider or None,
        "precision": row.choice.precision,
        "threads": row.choice.threads,
        **{f"{stage}_ms": None if time is None else round(float(time), 2) for stage, time in times.items()},
        "total_ms": round(row.total_ms, 2) if row.rejected is None else None,
        agreement: None if np.isnan(row.agreement) else round(row.agreement, 4),
        "rejected": row.rejected,
    }
