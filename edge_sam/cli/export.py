"""`edge-sam export` and `edge-sam convert`: from a checkpoint to a bundle, and to another format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_sam.cli.models import fetch
from edge_sam.cli.options import Json
from edge_sam.cli.output import echo, needs, print_json
from edge_sam.errors import InputError


def export(
    checkpoint: str,
    /,
    *,
    output: Path | None = None,
    precision: list[str] | None = None,
    format: str = "onnx",
    overwrite: bool = False,
    accept_license: bool = False,
    json: Json = False,
) -> None:
    """Convert a checkpoint to a model bundle and prove that it agrees with PyTorch.

    Parameters
    ----------
    checkpoint
        Model of the zoo, which is pulled if needed, or a checkpoint: a file (.pt, .pth, .safetensors, .onnx, .ort) or
        a folder of .onnx and .ort files.
    output
        Bundle folder to make. Without it the bundle of a model of the zoo goes into the cache, where its name finds
        it; precisions that are there already stay.
    precision
        fp32 (default) or w16 (16-bit weights, fp32 arithmetic, half the size). Repeatable.
    format
        onnx, or onnx,openvino for both.
    overwrite
        Replace an existing bundle.
    accept_license
        Accept a licence that forbids commercial use.
    """
    from edge_sam.bundles.zoo import read_index

    model = read_index().get(checkpoint)
    if output is None and model is None:
        raise InputError(
            f"no model called {checkpoint!r} in the zoo; give --output BUNDLE to convert a checkpoint of your own"
        )
    with needs("export", "export"):
        from edge_sam.export.bundle_writer import export_bundle
        from edge_sam.export.cache_writer import export_into_cache

    def weights() -> Path:
        return Path(checkpoint) if model is None else fetch(model, accept_license=accept_license)

    options: dict[str, Any] = {
        "precisions": precision or ["fp32"],
        "formats": [name.strip() for name in format.split(",")],
        "overwrite": overwrite,
        "progress": _progress,
    }
    if output is None:
        bundle = export_into_cache(checkpoint, weights, **options)
    else:
        bundle = export_bundle(weights(), output, **options)
    _print({"bundle": str(bundle.path), **_facts(bundle.manifest)}, json)


def convert(
    bundle: str,
    /,
    *,
    output: Path,
    overwrite: bool = False,
    json: Json = False,
) -> None:
    """Copy a bundle and add OpenVINO's own format to it; OpenVINO then reads that instead of ONNX.

    Parameters
    ----------
    bundle
        Model name or bundle folder.
    output
        Bundle folder to make.
    overwrite
        Replace an existing bundle.
    """
    from edge_sam.bundles.bundle import open_bundle
    from edge_sam.export.openvino_writer import convert_bundle

    made = convert_bundle(open_bundle(bundle), output, overwrite=overwrite, progress=_progress)
    _print({"bundle": str(made.path), **_facts(made.manifest)}, json)


def _progress(step: str) -> None:
    echo(f"{step} …", err=True)


def _facts(manifest: Any) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "source_sha256": manifest.source.sha256,
        "files": {part.file: part.bytes for part in manifest.files()},
        "measured": [{"precision": m.precision, "what": m.what, **m.values} for m in manifest.measured],
    }


def _print(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(facts)
        return
    for file, size in facts["files"].items():
        echo(f"{file:28s} {size / 1e6:6.1f} MB")
    for row in facts["measured"]:
        values = ", ".join(f"{key} {row[key]:.3g}" for key in row if key not in ("precision", "what"))
        echo(f"{row['precision']}: {row['what']}: {values}")
    echo(f"bundle: {facts['bundle']}")
