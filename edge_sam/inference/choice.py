"""Which runtimes, precisions and numbers of threads to try, and in which order."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from edge_sam.bundles.bundle import Bundle
from edge_sam.bundles.precisions import find_precision, stored_as
from edge_sam.errors import InputError, RuntimeUnavailableError
from edge_sam.inference.cache import Tuned, read_record, tuning_key
from edge_sam.inference.run_options import RunOptions
from edge_sam.runtimes import AUTO, BACKENDS, arithmetics, backend, is_known, is_pair, why_unusable
from edge_sam.runtimes.cores import check_threads

_log = logging.getLogger("edge_sam")
FIRST_USABLE = "the first that is usable here"
"""Why a runtime is taken that nobody asked for and nobody measured."""


@dataclass(frozen=True)
class Choice:
    """One way to run a model.

    Attributes
    ----------
    runtime : str
        A name in `edge_sam.runtimes.BACKENDS`, optionally with a device after a colon; or two joined by a plus.
    precision : str
        A precision of the bundle, or an arithmetic of the runtime on the files of one.
    threads : int, optional
        Threads for one inference. None: one for each core that this process may use.
    why : str
        The reason for this choice, for the log.
    options : mapping of str to str
        The runtime's own options, passed on unchanged.
    full_grid : bool
        See `RunOptions`.
    """

    runtime: str
    precision: str
    threads: int | None
    why: str
    options: Mapping[str, str] = field(default_factory=dict)
    full_grid: bool = False


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
        The requested choice, then its fallbacks. Runtimes of ``auto`` that are unusable here are left out.

    Raises
    ------
    InputError
        The runtime is unknown, the bundle lacks the precision, or the number of threads is invalid.
    RuntimeUnavailableError
        With ``auto``, no runtime is usable here; the message gives the reason for each.
    """
    runtime, precision, count = run.runtime, run.precision, thread_count(run.threads)
    if not bundle.precisions:
        raise InputError(f"bundle {bundle.path} has no encoder")
    check_runtime(run)
    if precision == "smallest":
        precision = bundle.smallest
    if precision != "auto" and not bundle.runs_in(precision):
        raise InputError(
            f"bundle {bundle.manifest.name} has no precision {precision!r}; it has {', '.join(bundle.precisions)}"
        )
    wanted = [precision] if precision != "auto" else bundle.exact
    if runtime == "auto":
        found = tuned(tuning_key(bundle), bundle.precisions, precision, count)
    else:
        found = [Choice(runtime, p, count, "asked for", run.options) for p in wanted]
    # A precision that was tuned for one runtime needs fallbacks in the others, because embeddings depend on it.
    wanted = list(dict.fromkeys([*wanted, *(choice.precision for choice in found)]))
    reasons = {name: why_not(bundle, name) for name in AUTO if name != runtime}
    for name in [name for name, reason in reasons.items() if reason is None]:
        computed = [p for p in wanted if computes_in(name, p)]
        found += [Choice(name, p, count, FIRST_USABLE) for p in computed]
        if not computed:
            reasons[name] = f"it does not compute in {' or '.join(wanted)} here"
    if not found:
        raise RuntimeUnavailableError("no usable runtime; " + "; ".join(f"{n}: {r}" for n, r in reasons.items()))
    return [replace(choice, full_grid=run.full_grid) for choice in found]


def computes_in(runtime: str, precision: str) -> bool:
    """Tell whether a runtime can compute in a precision here, if the bundle has its files."""
    return not find_precision(precision).weights or precision in arithmetics(runtime)


def why_not(bundle: Bundle, runtime: str) -> str | None:
    """Return None if a runtime is usable here with this bundle, else the reason in one line."""
    for role in bundle.graphs:
        formats = {component.format for component in bundle.manifest.components if component.role == role}
        if formats and not formats.intersection(backend(runtime).MODEL_FORMATS):
            return f"it does not read the bundle's {role} ({', '.join(sorted(formats))})"
    return why_unusable(runtime)


def check_runtime(run: RunOptions) -> None:
    """Raise `InputError` if the runtime is unknown, or if options are given for none that is named."""
    if run.runtime != "auto" and not is_known(run.runtime):
        raise InputError(f"unknown runtime {run.runtime!r}; known: auto, {', '.join(BACKENDS)}")
    if run.options and (run.runtime == "auto" or is_pair(run.runtime)):
        raise InputError(f"options belong to one runtime; name it instead of {run.runtime}")


def tuned(key: str, precisions: Collection[str], precision: str, threads: int | None) -> list[Choice]:
    """Return the fastest choice that `edge-sam tune` measured here and kept under a key, if it fits the request."""
    record = read_record(key, Tuned)
    if record is None:
        return []
    best = record.best
    known = is_known(best.runtime) and stored_as(best.precision) in precisions
    if not known or precision not in ("auto", best.precision):
        return []
    reason = why_unusable(best.runtime)
    if reason is not None:
        _log.warning("%s, measured as the fastest here, is not usable now: %s", best.runtime, reason)
        return []
    return [Choice(best.runtime, best.precision, threads or best.threads, f"measured as the fastest on {record.date}")]


def thread_count(threads: int | None) -> int | None:
    """Return the number of threads that was asked for, here or in EDGE_SAM_THREADS. None: the backend's default."""
    if threads is not None:
        return int(threads)
    given = os.environ.get("EDGE_SAM_THREADS")
    return check_threads(given, "EDGE_SAM_THREADS") if given else None
