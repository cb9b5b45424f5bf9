"""From a model's name to a predictor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edge_sam.bundles.bundle import Bundle, open_bundle
from edge_sam.errors import InputError
from edge_sam.importing.cached import with_decoder
from edge_sam.inference.choice import Choice, choices
from edge_sam.inference.model import Model
from edge_sam.inference.run_options import RunOptions
from edge_sam.predictor import Predictor


def load(
    model: str | Path = "mobile-sam",
    *,
    decoder: str | Path | None = None,
    runtime: str = RunOptions.runtime,
    precision: str = RunOptions.precision,
    threads: int | None = RunOptions.threads,
    strict: bool = RunOptions.strict,
    full_grid: bool = RunOptions.full_grid,
    options: Mapping[str, str] | None = None,
) -> Predictor:
    """Load a model.

    Parameters
    ----------
    model : str or Path
        The name of a model, or a bundle's folder. ``edge-sam models`` lists the names; ``edge-sam export NAME`` makes
        the bundle of a model that does not come with the package. With `decoder`, an encoder that another program
        exported: ``.onnx``, ``.ort`` or OpenVINO's ``.xml``.
    decoder : str or Path, optional
        The decoder that belongs to that encoder. The first call checks the pair on a drawn scene and keeps a bundle of
        it in the cache; `edge-sam import` makes one elsewhere.
    runtime : str
        ``"auto"`` (what `edge-sam tune` measured as the fastest here, else the first usable of
        `edge_sam.runtimes.AUTO`), or a name in `edge_sam.runtimes.BACKENDS`, with a device after a colon where
        it has several: ``"openvino:GPU"``, ``"cuda:1"``. Two joined by a plus run the image encoder in the first and
        the rest in the second: ``"openvino+onnxruntime"``.
    precision : str
        ``"auto"`` for the most exact one that the bundle has (or what was tuned), ``"smallest"`` for the one with
        the smallest files, ``"fp32"``, ``"w16"`` (weights stored in 16 bits, arithmetic in fp32), ``"bf16"`` (the files
        of w16, arithmetic in bf16, in OpenVINO on processors that have instructions for it), or ``"int8"``.
    threads : int, optional
        Threads for one inference. Default: ``EDGE_SAM_THREADS``, else one for each physical core that this
        process may use.
    strict : bool
        Raise when the runtime fails, now or later. Otherwise the next usable one takes over, with a
        `RuntimeFallbackWarning` that names the cause.
    full_grid : bool
        Let the decoder see every token of the padding around the photograph, as it was trained. By default one token
        stands for each block of padding: a prompt takes less time, and masks agree to a mean IoU of 0.998 by point
        and 0.999 by box. Models without padding, and bundles made before this choice, always see every token.
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
        threads, an argument of another type, or a pair of files that cannot be imported.
    RuntimeUnavailableError
        No runtime is usable here. With `strict`: the requested runtime is not usable.
    """
    if not isinstance(options, Mapping | None):
        raise InputError(f"options must be a mapping or None, not {type(options).__name__}")
    given = RunOptions(
        runtime=runtime,
        precision=precision,
        threads=threads,
        strict=strict,
        full_grid=full_grid,
        options=dict(options or {}),
    )
    return load_with(with_decoder(model, decoder), given)


def load_with(model: str | Path, run: RunOptions) -> Predictor:
    """Load a model as `run` says; see `load`."""
    if not isinstance(model, str | Path):
        raise InputError(f"model must be a name or a path, not {type(model).__name__}")
    bundle = open_bundle(model, run.precision)
    return Predictor(Model(bundle, choices(bundle, run), run.strict))


def load_choice(bundle: Bundle, choice: Choice) -> Predictor:
    """Load a bundle in one way and no other; see `load` for what is raised."""
    return Predictor(Model(bundle, [choice], strict=True))
