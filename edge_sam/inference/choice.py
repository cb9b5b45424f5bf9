"""Which runtime, precision and number of threads to try, in which order."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from edge_sam.bundles.bundle import Bundle
from edge_sam.errors import InputError, RuntimeUnavailableError
from edge_sam.inference.cache import Tuned, recall, tuning_key
from edge_sam.inference.run_options import RunOptions
from edge_sam.runtimes import AUTO, BACKENDS, split_runtime, why_unusable
from edge_sam.runtimes.cores import MAX_THREADS

_log = logging.getLogger("edge_sam")


@dataclass(frozen=True)
class Choice:
    """One way to run a model.

    Attributes
    ----------
    runtime : str
        A name in `edge_sam.runtimes.BACKENDS`, with a device after a colon where one was asked for.
    precision : str
        One that the bundle has.
    threads : int, optional
        Threads for one inference; None: as many as this process may use cores.
    why : str
        In words, for the log.
    options : mapping of str to str
        The runtime's own options, passed on as they are.
    """

    runtime: str
    precision: str
    threads: int | None
    why: str
    options: Mapping[str, str] = field(default_factory=dict)


def choices(bundle: Bundle, run: RunOptions) -> list[Choice]:
    """List what to try, best first. Nothing is loaded.

    Parameters
    ----------
    bundle : Bundle
        The model.
    run : RunOptions
        What was asked for.

    Returns
    -------
    list of Choice
        What was asked for, then what may take its place. Runtimes of ``auto`` that are not usable here are left out.

    Raises
    ------
    InputError
        An unknown runtime, a precision that the bundle lacks, an impossible number of threads.
    RuntimeUnavailableError
        With ``auto``, none is usable here; with the reason of each.
    """
    runtime, precision, count = run.runtime, run.precision, _threads(run.threads)
    if not bundle.precisions:
        raise InputError(f"bundle {bundle.path} has no encoder")
    if runtime != "auto" and split_runtime(runtime)[0] not in BACKENDS:
        raise InputError(f"unknown runtime {runtime!r}; known: auto, {', '.join(BACKENDS)}")
    if run.options and runtime == "auto":
        raise InputError("options belong to one runtime; name it instead of auto")
    if precision == "smallest":
        precision = bundle.smallest
    if precision != "auto" and precision not in bundle.precisions:
        raise InputError(
            f"bundle {bundle.manifest.name} has no precision {precision!r}; it has {', '.join(bundle.precisions)}"
        )
    wanted = [precision] if precision != "auto" else bundle.exact
    if runtime == "auto":
        found = _tuned(bundle, precision, count)
    else:
        found = [Choice(runtime, p, count, "asked for", run.options) for p in wanted]
    # Where a precision was tuned for one runtime, it must have a successor in the others: embeddings are tied to it.
    wanted = list(dict.fromkeys([*wanted, *(choice.precision for choice in found)]))
    reasons = {name: why_unusable(name) for name in AUTO if name != runtime}
    for name, reason in reasons.items():
        if reason is None:
            found += [Choice(name, p, count, "the first that is usable here") for p in wanted]
    if not found:
        raise RuntimeUnavailableError("no usable runtime; " + "; ".join(f"{n}: {r}" for n, r in reasons.items()))
    return found


def _tuned(bundle: Bundle, precision: str, threads: int | None) -> list[Choice]:
    """Return what `edge-sam tune` measured to be the fastest here, where that fits what was asked for."""
    record = recall(tuning_key(bundle), Tuned)
    if record is None:
        return []
    best = record.best
    known = split_runtime(best.runtime)[0] in BACKENDS and best.precision in bundle.precisions
    if not known or precision not in ("auto", best.precision):
        return []
    reason = why_unusable(best.runtime)
    if reason is not None:
        _log.warning("%s, measured as the fastest here, is not usable now: %s", best.runtime, reason)
        return []
    return [Choice(best.runtime, best.precision, threads or best.threads, f"measured as the fastest on {record.date}")]


def _threads(threads: int | None) -> int | None:
    given = os.environ.get("EDGE_SAM_THREADS") if threads is None else str(threads)
    return thread_count(given) if given else None


def thread_count(given: str) -> int:
    """Read a number of threads, or raise `InputError`."""
    if not (given.isascii() and given.isdigit()) or not 1 <= int(given) <= MAX_THREADS:
        raise InputError(f"number of threads must be between 1 and {MAX_THREADS}, not {given!r}")
    return int(given)
