"""From a model's name to a predictor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edge_sam.bundles.bundle import Bundle, open_bundle
from edge_sam.errors import InputError
from edge_sam.inference.choice import Choice, choices
from edge_sam.inference.model import Model
from edge_sam.predictor import Predictor


def load(
    model: str | Path = "mobile-sam",
    *,
    runtime: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    strict: bool = False,
    options: Mapping[str, str] | None = None,
) -> Predictor:
    """Load a model.

    Parameters
    ----------
    model : str or Path
        The name of a model that comes with the package, or a bundle's folder.
    runtime : str
        ``"auto"`` (what `edge-sam tune` measured as the fastest here, else the first usable of
        `edge_sam.runtimes.AUTO`), or a name in `edge_sam.runtimes.BACKENDS`, with a device after a colon where
        it has several: ``"openvino:GPU"``, ``"cuda:1"``.
    precision : str
        ``"auto"`` for the most exact one that the bundle has (or what was tuned), ``"smallest"`` for the one with
        the smallest files, ``"fp32"``, ``"w16"`` (weights stored in 16 bits, arithmetic in fp32), or ``"int8"``.
    threads : int, optional
        Threads for one inference. Default: ``EDGE_SAM_THREADS``, else one for each physical core that this
        process may use.
    strict : bool
        Raise when the runtime fails, now or later. Otherwise the next usable one takes over, with a
        `RuntimeFallbackWarning` that names the cause.
    options : mapping of str to str, optional
        The named runtime's own options, passed on as they are: of the provider for ONNX Runtime
        (``{"gpu_mem_limit": "2147483648"}``), properties for OpenVINO (``{"NUM_STREAMS": "1"}``).

    Returns
    -------
    Predictor

    Raises
    ------
    InputError
        No such model, a damaged bundle, a precision that it lacks, an unknown runtime, an impossible number of
        threads, or an argument of another type.
    RuntimeUnavailableError
        No runtime is usable here; with `strict`, the one asked for is not.
    """
    for name, value, kinds, expected in (
        ("model", model, str | Path, "a name or a path"),
        ("runtime", runtime, str, 'a name or "auto"'),
        ("precision", precision, str, 'a name or "auto"'),
        ("threads", threads, int | np.integer | None, "a whole number or None"),
        ("options", options, Mapping | None, "a mapping or None"),
    ):
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise InputError(f"{name} must be {expected}, not {type(value).__name__}")
    bundle = open_bundle(model)
    return Predictor(Model(bundle, choices(bundle, runtime, precision, threads, dict(options or {})), strict))


def load_choice(bundle: Bundle, choice: Choice) -> Predictor:
    """Load a bundle in one way and no other; see `load` for what is raised."""
    return Predictor(Model(bundle, [choice], strict=True))
