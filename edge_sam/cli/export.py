"""`edge-sam export` and `edge-sam convert`: from a checkpoint to a bundle, and to another format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_sam.cli.options import Json
from edge_sam.cli.output import echo, needs, print_json


def export(
    checkpoint: Path,
    /,
    *,
    output: Path,
    precision: list[str] | None = None,
    format: str = "onnx",
    overwrite: bool = False,
    json: Json = False,
) -> None:
    """Convert a checkpoint to a model bundle and prove that it agrees with PyTorch.

    Parameters
    ----------
    checkpoint
        Checkpoint to convert, for example mobile_sam.pt.
    output
        Bundle folder to make.
    precision
        fp32 (default) or w16 (16-bit weights, fp32 arithmetic, half the size). Repeatable.
    format
        onnx, or onnx,openvino for both.
    overwrite
        Replace an existing bundle.
    """
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
