"""`edge-sam quantize`: a bundle with int8 in it, calibrated on one's own photographs and held to its masks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_sam.cli.options import JsonOption
from edge_sam.cli.output import needs, plain_console, print_json, table

if TYPE_CHECKING:
    from rich.console import Console

    from edge_sam.quantize.quantizer import QuantizationResult


def quantize(
    bundle: Annotated[str, typer.Argument(help="Model name or bundle folder.")],
    calibration: Annotated[
        Path,
        typer.Option(
            help="Folder of photographs like those that will be segmented; 64 to 300 are enough. Where it has images/"
            " and masks/, the masks are used to judge by."
        ),
    ],
    output: Annotated[Path, typer.Option(help="Bundle folder to make.")],
    precision: Annotated[str, typer.Option(help="int8, or fp16 (for GPUs; nothing is calibrated).")] = "int8",
    target: Annotated[
        str | None,
        typer.Option(help="Whose kernels: cpu, arm, tensorrt or openvino.", show_default="cpu; of fp16 tensorrt"),
    ] = None,
    max_drop: Annotated[
        float,
        typer.Option(
            help="Points of mIoU that may be lost against known masks, or four times as many against the float"
            " model's own; where more are, nothing is written."
        ),
    ] = 0.5,
    samples: Annotated[int, typer.Option(help="Photographs to calibrate with, at most.")] = 64,
    observer: Annotated[str, typer.Option(help="How ranges are found: min-max, percentile or entropy.")] = "min-max",
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of photographs and prompts.")] = 0,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Rank the blocks by what they cost and save: a table and OUTPUT-ranking.png."),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing bundle.")] = False,
    json: JsonOption = False,
) -> None:
    """Copy a bundle and add int8 to it: smaller, and faster where the processor has the instructions for it.

    The same command on the same photographs gives the same bytes. `auto` takes int8 only after `edge-sam tune` has
    measured it to be the fastest here; ask for it with --precision int8. More: docs/quantization.md.
    """
    with needs("quantize", "quantize"):
        from edge_sam.quantize.quantizer import Settings, quantize_bundle
    from edge_sam.bundles.bundle import open_bundle
    from edge_sam.cli.progress import progress_bar
    from edge_sam.files.atomic import check_output_file, write_files

    picture = output.parent / f"{output.name}-ranking.png"
    if explain:
        check_output_file(picture)
    settings = Settings(calibration, precision, target, max_drop, samples, observer, seed)
    outcome = quantize_bundle(open_bundle(bundle), output, settings, progress_bar, overwrite=overwrite, explain=explain)
    facts = _facts(outcome)
    if explain:
        from edge_sam.quantize.plot import ranking_plot

        write_files({picture: ranking_plot(outcome.ranking)})
        facts["plot"] = str(picture)
    if json:
        print_json(facts)
    else:
        _print(facts)


def _facts(outcome: QuantizationResult) -> dict[str, Any]:
    import msgspec

    files = {
        part.file: part.bytes
        for component in outcome.bundle.manifest.components
        if component.precision == outcome.precision and component.role in ("encoder", "decoder")
        for part in component.files
    }
    return {
        "bundle": str(outcome.bundle.path),
        "files": files,
        "precision": outcome.precision,
        "calibration": msgspec.to_builtins(outcome.calibration),
        "skipped": outcome.skipped,
        "accuracy": [{**msgspec.to_builtins(each), "drop": round(each.drop, 4)} for each in outcome.accuracies],
        "ranking": [msgspec.to_builtins(row) for row in outcome.ranking],
    }


def _print(facts: dict[str, Any]) -> None:
    console = plain_console()
    skipped = f", {facts['skipped']} not usable" if facts["skipped"] else ""
    if facts["calibration"]:
        count = facts["calibration"]["photographs"]
        console.print(f"calibrated on {count} photographs{skipped}", soft_wrap=True)
    judged = table("compared with", "photographs", "prompt", "mIoU × 100", "float", "masks agree")
    for each in facts["accuracy"]:
        for prompt, miou in each["miou"].items():
            cells = (miou, each["float_miou"][prompt], each["agreement"][prompt])
            judged.add_row(each["truth"], str(each["photographs"]), prompt, *(f"{cell:.2f}" for cell in cells))
    console.print(judged)
    if not all(each["unseen"] for each in facts["accuracy"]):
        console.print("judged on photographs that it was calibrated with; a folder of more than --samples has others")
    if facts["ranking"]:
        _print_ranking(console, facts["ranking"])
        console.print(f"plot: {facts['plot']}", soft_wrap=True)
    for file, size in facts["files"].items():
        console.print(f"{file:28s} {size / 1e6:6.1f} MB", soft_wrap=True)
    console.print(f"bundle: {facts['bundle']}", soft_wrap=True)


def _print_ranking(console: Console, rows: list[dict[str, Any]]) -> None:
    ranking = table("component", "block", "int8 of", "chosen", numbers=("points lost", "worst IoU", "ms saved"))
    for row in rows:
        saved = "–" if row["saved_ms"] is None else f"{row['saved_ms']:.2f}"
        what, chosen = "products" if row["computes"] else "storage", "yes" if row["chosen"] else "no"
        ranking.add_row(row["role"], row["block"], what, chosen, f"{row['cost']:.2f}", f"{row['worst']:.3f}", saved)
    console.print(ranking)
