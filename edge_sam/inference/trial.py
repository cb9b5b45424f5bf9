"""The first load of a model that is new here, in a child process: its graphs may take all memory or never end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from edge_sam.bundles.bundle import BUNDLED, Bundle, open_bundle
from edge_sam.files.cache_home import cache_home
from edge_sam.files.serialization import from_json, to_json
from edge_sam.inference.cache import Verdict, read_verdict, runtime_key
from edge_sam.inference.choice import Choice
from edge_sam.inference.compiled import CompiledFiles
from edge_sam.inference.guard import probe_bounds
from edge_sam.runtimes import backend, runs_on_cpu, why_unusable

_OURS = ("bundles", "imported")
"""Folders of the cache for the bundles that `edge-sam export` made here and that passed `import_model` here."""


class _Request(msgspec.Struct):
    bundle: str
    runtime: str
    precision: str
    threads: int | None
    options: dict[str, str]


def run_trial(function: str, request: bytes, runtime: str, size: int) -> None:
    """Call ``module:name``, which loads a model of `size` bytes in a runtime, in a child process with limits.

    The child leaves the guard's verdict and compiled files in the cache. The memory of a GPU has no limit.

    Raises
    ------
    InputError
        The model is damaged.
    RuntimeUnavailableError
        The runtime rejects it, crashes, or goes beyond a limit.
    """
    from edge_sam.system.confined import limits_for, run_confined  # Known models start without it.

    limits = limits_for(size)
    if not runs_on_cpu(runtime):
        limits = limits._replace(memory=None)
    run_confined(function, request, limits)


def is_judged(key: str, find: Callable[[], Verdict | None]) -> bool:
    """Tell whether the guard has a verdict, after waiting for another load that may write it.

    A child process would wait for it too, and the time would count against its limit.
    """
    if find() is not None:
        return True
    with CompiledFiles(key).alone():
        return find() is not None


def try_out(bundle: Bundle, choice: Choice) -> None:
    """Load a bundle from elsewhere in a child process, unless the guard has a verdict on it; see `run_trial`.

    A runtime that builds engines does so only on request.
    """
    if bundle.path.parent in (BUNDLED, *(cache_home() / name for name in _OURS)):
        return
    runtime = choice.runtime
    if why_unusable(runtime) is not None or backend(runtime).BUILDS_ENGINES:
        return
    key = runtime_key(bundle, runtime, choice.precision, choice.options)
    bounds = probe_bounds(bundle.contract, choice.precision)
    if is_judged(key, lambda: read_verdict(key, runtime, choice.precision, bounds)):
        return
    size = sum(file.bytes for file in bundle.manifest.files(choice.precision))
    request = _Request(str(bundle.path.absolute()), runtime, choice.precision, choice.threads, {**choice.options})
    run_trial("edge_sam.inference.trial:load", to_json(request), runtime, size)


def load(request: bytes, _progress: Callable[[str], object]) -> bytes:
    """Load the model of a request. Runs in the child process."""
    from edge_sam.inference.model import LoadedModel

    wanted = from_json(request, _Request)
    choice = Choice(wanted.runtime, wanted.precision, wanted.threads, "trial", wanted.options)
    LoadedModel(open_bundle(Path(wanted.bundle)), choice)
    return b""
