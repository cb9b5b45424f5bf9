"""`edge-sam build`: compile a model ahead of time for a runtime that takes minutes over it."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from edge_sam.cli.options import JsonOption, PrecisionOption
from edge_sam.cli.output import echo, print_json
from edge_sam.cli.progress import status


def build(
    bundle: Annotated[str, typer.Argument(help="Model name or bundle folder.")] = "mobile-sam",
    runtime: Annotated[
        str, typer.Option(help="What to build for; with a device after a colon: tensorrt:1.")
    ] = "tensorrt",
    precision: PrecisionOption = "auto",
    json: JsonOption = False,
) -> None:
    """Make the engines of a model for this device, and check them against the bundle's stored values.

    They are kept in the cache under a key of the device, its driver, the versions of the packages and the model's
    files, so engines of another board or version are never used.
    """
    from edge_sam.bundles.bundle import open_bundle
    from edge_sam.errors import RuntimeUnavailableError
    from edge_sam.files.cache_home import cache_home
    from edge_sam.inference.cache import runtime_key
    from edge_sam.inference.choice import choices
    from edge_sam.inference.model import LoadedModel
    from edge_sam.runtimes import backend, split_runtime, why_unusable

    opened = open_bundle(bundle)
    choice = choices(opened, runtime, precision, None)[0]
    reason = why_unusable(choice.runtime)
    if reason is not None:
        raise RuntimeUnavailableError(f"cannot build for {choice.runtime}: {reason}")
    start = time.perf_counter()
    echo(f"building {opened.manifest.name} {choice.precision} for {choice.runtime}; this may take minutes", err=True)
    with status("building …"):
        loaded = LoadedModel(opened, choice, build=True)
    facts = {
        "runtime": choice.runtime,
        "provider": loaded.decoder.provider,
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
