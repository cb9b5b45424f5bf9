"""`edge-sam export` and `edge-sam convert`: from a checkpoint to a bundle, and to another format or layout."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edge_sam.bundles.manifest import Values
from edge_sam.cli.models import fetch
from edge_sam.cli.options import Json
from edge_sam.cli.output import echo, needs, print_json
from edge_sam.errors import InputError

if TYPE_CHECKING:
    from edge_sam.bundles.bundle import Bundle


def export(
    checkpoint: str,
    /,
    *,
    output: Path | None = None,
    precision: list[str] | None = None,
    format: str = "onnx",
    layout: str | None = None,
    values: Values | None = None,
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
        it; precisions that are there already stay. With --layout the folder for its files.
    precision
        fp32 (default) or w16 (16-bit weights, fp32 arithmetic, half the size). Repeatable.
    format
        onnx, or onnx,openvino for both.
    layout
        Write files for other programs: sam, sam2, or hf (transformers.js).
    values
        What the layout's encoder takes: sam 0-255 (default) or normalised; sam2 normalised (default) or 0-1.
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
    if layout is None and values is not None:
        raise InputError("--values belongs to --layout")
    with needs("export", "export"):
        from edge_sam.export.bundle_writer import export_bundle
        from edge_sam.export.cache_writer import export_into_cache
        from edge_sam.export.layouts.writer import require_layout

    def weights() -> Path:
        return Path(checkpoint) if model is None else fetch(model, accept_license=accept_license)

    options: dict[str, Any] = {
        "precisions": precision or ["fp32"],
        "formats": [name.strip() for name in format.split(",")],
        "overwrite": overwrite,
        "progress": _progress,
    }
    if layout is not None:
        if output is None or len(options["precisions"]) > 1 or format != "onnx":
            raise InputError("--layout needs --output FOLDER, and takes one --precision and no other --format")
        require_layout(layout, values)  # Before a long export.
        with tempfile.TemporaryDirectory() as folder:
            if model is None:
                bundle = export_bundle(weights(), Path(folder) / Path(output).resolve().name, **options)
            else:
                bundle = export_into_cache(checkpoint, weights, **{**options, "overwrite": False})
            _write_layout(bundle, output, layout, values, options["precisions"][0], overwrite=overwrite, json=json)
        return
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
    format: Literal["openvino", "triton"] = "openvino",
    layout: str | None = None,
    values: Values | None = None,
    precision: str = "auto",
    overwrite: bool = False,
    json: Json = False,
) -> None:
    """Copy a bundle and add OpenVINO's own format to it; or write its files for other programs.

    Parameters
    ----------
    bundle
        Model name or bundle folder.
    output
        Bundle folder to make; with --layout or --format triton the folder for its files.
    format
        openvino, or triton: a model repository for Triton Inference Server, with a service for KServe.
    layout
        Write an encoder and a decoder that other programs read: sam, sam2, or hf (transformers.js).
    values
        What the layout's encoder takes: sam 0-255 (default) or normalised; sam2 normalised (default) or 0-1.
    precision
        Precision of the files of a layout or of triton: auto, smallest, or one of the bundle's.
    overwrite
        Replace existing files.
    """
    from edge_sam.bundles.bundle import open_bundle

    if layout is not None:
        if format != "openvino":
            raise InputError("--layout and --format triton write different files; give one of them")
        found = open_bundle(bundle, precision)
        _write_layout(found, output, layout, values, precision, overwrite=overwrite, json=json)
        return
    if values is not None or (precision != "auto" and format != "triton"):
        raise InputError("--values and --precision belong to --layout, --precision to --format triton too")
    if format == "triton":
        _write_triton(open_bundle(bundle, precision), output, precision, overwrite=overwrite, json=json)
        return
    from edge_sam.export.openvino_writer import convert_bundle

    made = convert_bundle(open_bundle(bundle), output, overwrite=overwrite, progress=_progress)
    _print({"bundle": str(made.path), **_facts(made.manifest)}, json)


def _write_triton(bundle: Bundle, output: Path, precision: str, *, overwrite: bool, json: bool) -> None:
    from edge_sam.serve.triton import write_repository

    written = write_repository(bundle, output, precision=precision, overwrite=overwrite)
    files = {str(file.relative_to(output)): file.stat().st_size for file in written}
    if json:
        print_json({"folder": str(output), "files": files})
        return
    _print_files(files)
    echo(f"folder: {output}")


def _write_layout(
    bundle: Bundle,
    output: Path,
    layout: str,
    values: Values | None,
    precision: str,
    *,
    overwrite: bool,
    json: bool,
) -> None:
    with needs("export", "--layout"):
        from edge_sam.export.layouts.writer import write_layout

    facts = write_layout(
        bundle, output, layout, values=values, precision=precision, overwrite=overwrite, progress=_progress
    )
    if json:
        print_json({"folder": str(output), **facts})
        return
    _print_files(facts["files"])
    prompts, lowest = (facts["agreement"][name] for name in ("prompts", "lowest IoU"))
    echo(f"masks for {prompts:.0f} prompts agree with the bundle's: IoU {lowest:.4f} or more")
    echo(f"folder: {output}")


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
    _print_files(facts["files"])
    for row in facts["measured"]:
        values = ", ".join(f"{key} {row[key]:.3g}" for key in row if key not in ("precision", "what"))
        echo(f"{row['precision']}: {row['what']}: {values}")
    echo(f"bundle: {facts['bundle']}")


def _print_files(files: dict[str, int]) -> None:
    for file, size in files.items():
        echo(f"{file:28s} {size / 1e6:6.1f} MB")
