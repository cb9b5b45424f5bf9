"""`edge-sam export` and `edge-sam convert`: from a checkpoint to a bundle, and to another format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edge_sam.cli.options import JsonOption
from edge_sam.cli.output import echo, needs, print_json


def export(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint to convert, for example mobile_sam.pt.")],
    output: Annotated[Path, typer.Option(help="Bundle folder to make.")],
    precision: Annotated[
        list[str] | None,
        typer.Option(help="fp32 (default) or w16 (16-bit weights, fp32 arithmetic, half the size). Repeatable."),
    ] = None,
    format: Annotated[str, typer.Option(help="onnx, or onnx,openvino for both.")] = "onnx",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing bundle.")] = False,
    json: JsonOption = False,
) -> None:
    """Convert a checkpoint to a model bundle and prove that it agrees with PyTorch."""
    with needs("export", "export"):
        from edge_sam.export.bundle_writer import export_bundle

    bundle = export_bundle(
        checkpoint,
        output,
        precisions=precision or ["fp32"],
        formats=[name.strip() for name in format.split(",")],
        overwrite=overwrite,
        progress=_progress,
    )
    _print({"bundle": str(bundle.path), **_facts(bundle.manifest)}, json)


def convert(
    bundle: Annotated[str, typer.Argument(help="Model name or bundle folder.")],
    output: Annotated[Path, typer.Option(help="Bundle folder to make.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing bundle.")] = False,
    json: JsonOption = False,
) -> None:
    """Copy a bundle and add OpenVINO's own format to it; OpenVINO then reads that instead of ONNX."""
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
