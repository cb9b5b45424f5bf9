"""`edge-sam build`: compile a model ahead of time for a runtime that needs minutes for it."""

from __future__ import annotations

import time

from edge_sam.cli.options import Json
from edge_sam.cli.output import echo, print_json
from edge_sam.cli.progress import status
from edge_sam.inference.run_options import RunOptions


def build(
    bundle: str = "mobile-sam",
    /,
    *,
    runtime: str | None = None,
    precision: str = RunOptions.precision,
    json: Json = False,
) -> None:
    """Compile a model ahead of time for this device, and check it against the bundle's stored values.

    The engines are kept in the cache under a key of the device, its driver, the versions of the packages and the
    model's files, so engines of another board or version are never used.

    Parameters
    ----------
    bundle
        Model name or bundle folder.
    runtime
        Runtime to build for. Default: the first that builds engines. A device may follow a colon: tensorrt:1.
    precision
        auto, smallest, or one of the bundle's precisions.
    """
    from edge_sam.bundles.bundle import open_bundle
    from edge_sam.errors import RuntimeUnavailableError
    from edge_sam.files.cache_home import cache_home
    from edge_sam.inference.cache import runtime_key
    from edge_sam.inference.choice import choices
    from edge_sam.inference.model import LoadedModel
    from edge_sam.runtimes import BACKENDS, backend, split_runtime, why_unusable

    opened = open_bundle(bundle, precision)
    builder = next(name for name in BACKENDS if backend(name).BUILDS_ENGINES)
    choice = choices(opened, RunOptions(runtime=runtime or builder, precision=precision))[0]
    reason = why_unusable(choice.runtime)
    if reason is not None:
        raise RuntimeUnavailableError(f"cannot build for {choice.runtime}: {reason}")
    start = time.perf_counter()
    echo(f"building {opened.manifest.name} {choice.precision} for {choice.runtime}; this may take minutes", err=True)
    with status("building …"):
        loaded = LoadedModel(opened, choice, build=True)
    facts = {
        "runtime": choice.runtime,
        "provider": loaded.provider,
        "precision": choice.precision,
        "hardware": backend(choice.runtime).hardware(split_runtime(choice.runtime)[1]),
        "folder": str(cache_home() / "compiled" / runtime_key(opened, choice.runtime, choice.precision)),
        "seconds": round(time.perf_counter() - start, 1),
    }
    if json:
        print_json(facts)
        return
    for name, value in facts.items():
        echo(f"{name:10s} {value}")
