"""`edge-sam encode`: the embeddings of many photographs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from cyclopts import Parameter
from cyclopts.validators import Number

from edge_sam.cli.options import Json, Run, Shown, ViewOptions
from edge_sam.cli.output import echo, print_json
from edge_sam.inference.run_options import RunOptions
from edge_sam.system.quiet import silenced

if TYPE_CHECKING:
    from edge_sam.annotate.embeddings import EncodeReport


def encode(
    source: str,
    /,
    *,
    output: Path,
    layout: Annotated[Literal["npz", "npy"], Parameter("--format")] = "npz",
    every: Annotated[int, Parameter(validator=Number(gte=1))] = 1,
    model: str = "mobile-sam",
    decoder: Path | None = None,
    view: Shown = ViewOptions(),
    run: Run = RunOptions(),
    json: Json = False,
) -> int:
    """Encode photographs, so that prompts on them are answered at once. The same command continues a stopped run.

    Embeddings of the same photograph, model, precision and size are kept. OUTPUT/embeddings.jsonl lists all.

    Parameters
    ----------
    source
        Folder (with its subfolders), glob in quotes, list (.txt), video, or photograph.
    output
        Folder for the embeddings. Subfolders of SOURCE are kept.
    layout
        npz: for edge-sam segment --embedding and ImageEmbedding.load. npy: float32 (1, 256, 64, 64) for labelling
        tools.
    every
        Take every Nth frame of a video.
    model
        Model name or bundle folder; with --decoder, the encoder (.onnx, .ort, .xml) of another exporter.
    decoder
        The decoder that belongs to that encoder.
    """
    from edge_sam.annotate.embeddings import encode_all
    from edge_sam.annotate.sources import open_source
    from edge_sam.cli.progress import progress_bar
    from edge_sam.files.atomic import check_output_folder
    from edge_sam.importing.cached import with_decoder
    from edge_sam.loading import load_with
    from edge_sam.system.signals import stop_on_signal

    check_output_folder(output)
    items = open_source(source, every=every)
    with silenced():
        predictor = load_with(with_decoder(model, decoder), run)
    with stop_on_signal(_say_stopping) as stop, progress_bar(source, len(items)) as step:
        report = encode_all(items, predictor, output, kind=layout, view=view, stopped=stop, step=step)
    _print(report, msgspec.to_builtins(predictor.facts), json)
    code = 1 if report.failed else 0
    return code if stop.signal is None else 128 + stop.signal


def _say_stopping() -> None:
    echo("stopping after the photograph in progress (again to stop at once)", err=True)


def _print(report: EncodeReport, facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json({**msgspec.to_builtins(report), **facts})
        return
    echo(f"{report.encoded} photographs encoded, {report.kept} kept, of {report.photographs}; {report.seconds:.0f} s")
    echo(f"{facts['model']} {facts['precision']} on {facts['provider']}")
    for what, absent in (("skipped", report.skipped), ("failed", report.failed)):
        for one in absent:
            echo(f"{what} {one.name}: {one.reason}", err=True)
    echo(f"index: {report.index}")
