"""`edge-sam quantize`: a bundle with int8 in it, calibrated on one's own photographs and held to its masks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from edge_sam.cli.options import FLAT, Json
from edge_sam.cli.output import needs, plain_console, print_json, table
from edge_sam.quantize.settings import QuantizeSettings

if TYPE_CHECKING:
    from rich.console import Console

    from edge_sam.quantize.quantizer import QuantizationResult


def quantize(
    bundle: str,
    /,
    *,
    settings: Annotated[QuantizeSettings, FLAT],
    output: Path,
    explain: bool = False,
    overwrite: bool = False,
    json: Json = False,
) -> None:
    """Copy a bundle and add int8 to it: smaller, and faster if the processor has the instructions for it.

    The same command on the same photographs gives the same bytes. `auto` takes int8 only after `edge-sam tune` has
    measured it to be the fastest here; ask for it with --precision int8. More: docs/quantization.md.

    Parameters
    ----------
    bundle
        Model name or bundle folder.
    output
        Bundle folder to make.
    explain
        Rank the blocks by cost and gain: a table and OUTPUT-ranking.png.
    overwrite
        Replace an existing bundle.
    """
    with needs("quantize", "quantize"):
        from edge_sam.quantize.quantizer import quantize_bundle
    from edge_sam.bundles.bundle import open_bundle
    from edge_sam.cli.progress import progress_bar
    from edge_sam.files.atomic import check_output_file, write_files

    picture = output.parent / f"{output.name}-ranking.png"
    if explain:
        check_output_file(picture)
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
