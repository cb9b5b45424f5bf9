"""`edge-sam annotate`: photographs in, a data set of masks out."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from edge_sam.cli.options import (
    BoxNmsOption,
    CropDownscaleOption,
    CropLayersOption,
    CropNmsOption,
    CropOverlapOption,
    ExhaustiveOption,
    JsonOption,
    LongSideOption,
    MinAreaOption,
    MinRegionOption,
    ModelOption,
    OffsetOption,
    PointsPerBatchOption,
    PointsPerSideOption,
    PrecisionOption,
    PreferOption,
    RuntimeOption,
)
from edge_sam.cli.output import echo, print_json
from edge_sam.errors import InputError
from edge_sam.system.quiet import silenced

if TYPE_CHECKING:
    from edge_sam.annotate.pipeline import AnnotateReport, Engine
    from edge_sam.annotate.prompt_files import PromptTable
    from edge_sam.annotate.worker import Job

_SHOWN = 10
"""Photographs that are named on the terminal; the report has all."""


def annotate(
    source: Annotated[
        str, typer.Argument(help="Folder (with those below it), glob in quotes, list (.txt), video, or photograph.")
    ],
    output: Annotated[Path, typer.Option(help="The data set: a .json file (COCO), or a folder (SA-1B).")],
    prompts: Annotated[
        str,
        typer.Option(
            metavar="grid|FILE|FUNCTION",
            help="grid: everything mode. Or boxes or points from a file (.json: COCO, .csv, .jsonl). Or a Python"
            " function, whose code is run: FILE.py:function, module:function, or an entry point of edge_sam.prompts.",
        ),
    ] = "grid",
    layout: Annotated[str, typer.Option("--format", help="coco, sa1b, or auto: by the output's suffix.")] = "auto",
    every: Annotated[int, typer.Option(help="Of a video take every so-manieth frame.")] = 1,
    save_frames: Annotated[Path | None, typer.Option(help="Folder to write a video's frames to, as PNG.")] = None,
    points_per_side: PointsPerSideOption = 32,
    points_per_batch: PointsPerBatchOption = 1,
    exhaustive: ExhaustiveOption = False,
    crop_n_layers: CropLayersOption = 0,
    crop_nms_thresh: CropNmsOption = 0.7,
    crop_overlap_ratio: CropOverlapOption = 512 / 1500,
    crop_n_points_downscale_factor: CropDownscaleOption = 1,
    box_nms_thresh: BoxNmsOption = 0.7,
    min_mask_region_area: MinRegionOption = 0,
    pred_iou_thresh: Annotated[
        float | None, typer.Option(help="Lowest predicted IoU.", show_default="0.88 with grid, else 0")
    ] = None,
    stability_score_thresh: Annotated[
        float | None, typer.Option(help="Lowest stability.", show_default="0.95 with grid, else 0")
    ] = None,
    stability_score_offset: OffsetOption = 1.0,
    min_mask_area: MinAreaOption = 0,
    max_mask_area: Annotated[int, typer.Option(help="Largest mask in pixels; 0: no limit.")] = 0,
    border: Annotated[int, typer.Option(help="Reject masks nearer to the edge than this; 1: that touch it.")] = 0,
    mask_nms_thresh: Annotated[
        float, typer.Option(help="Mask IoU above which masks of one category are duplicates; 1: none.")
    ] = 0.9,
    valid_mask: Annotated[
        Path | None, typer.Option(help="Picture, or folder of pictures by name; no mask reaches where it is black.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes.", show_default="one for each core")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of each.", show_default="its share of the cores")] = None,
    engine: Annotated[str, typer.Option(help="local, or ray for many machines.")] = "local",
    ray_address: Annotated[
        str | None, typer.Option(help="A Ray cluster, or auto.", show_default="RAY_ADDRESS, else start one here")
    ] = None,
    square: Annotated[
        bool | None, typer.Option("--square/--no-square", help="Encode the padded square.", show_default="with grid")
    ] = None,
    prefer: PreferOption = "auto",
    long_side: LongSideOption = 1024,
    model: ModelOption = "mobile-sam",
    runtime: RuntimeOption = "auto",
    precision: PrecisionOption = "auto",
    restart: Annotated[bool, typer.Option("--restart", help="Throw away what earlier runs did.")] = False,
    json: JsonOption = False,
) -> None:
    """Make a data set of masks from photographs. Stopped or killed, the same command goes on where it was.

    What is done is kept in OUTPUT.work. Options of the grid count only with --prompts grid. How to run it on many
    machines, and what it costs: docs/annotate.md.
    """
    import edge_sam
    from edge_sam.annotate.output import check_output, is_sa1b, working_folder
    from edge_sam.annotate.pipeline import annotate as run
    from edge_sam.annotate.sources import open_source
    from edge_sam.annotate.store import Store
    from edge_sam.annotate.tasks import make_tasks, settings, share_cores
    from edge_sam.annotate.validators import Limits
    from edge_sam.annotate.worker import Job, mask_generator
    from edge_sam.annotate.writers import distinct_without_suffix
    from edge_sam.cli.progress import progress_bar
    from edge_sam.files.atomic import check_output_folder
    from edge_sam.preference import check_preference

    if engine not in ("local", "ray"):
        raise InputError(f"unknown engine {engine!r}; known: local, ray")
    sa1b, store = is_sa1b(output, layout), Store(working_folder(output))
    check_output(output)
    if save_frames is not None:
        check_output_folder(save_frames)
    table, function = _prompts(prompts)
    everything = table is None and function is None
    limits = Limits(
        pred_iou_thresh=_or(pred_iou_thresh, 0.88 if everything else 0.0),
        stability_score_thresh=_or(stability_score_thresh, 0.95 if everything else 0.0),
        stability_score_offset=stability_score_offset,
        min_area=min_mask_area,
        max_area=max_mask_area,
        border=border,
        mask_nms_thresh=mask_nms_thresh,
    )
    grid = {
        "points_per_side": points_per_side,
        "points_per_batch": points_per_batch,
        "adaptive": not exhaustive,
        "crop_n_layers": crop_n_layers,
        "crop_nms_thresh": crop_nms_thresh,
        "crop_overlap_ratio": crop_overlap_ratio,
        "crop_n_points_downscale_factor": crop_n_points_downscale_factor,
        "box_nms_thresh": box_nms_thresh,
        "min_mask_region_area": min_mask_region_area,
    }
    tasks = make_tasks(open_source(source, every=every), table, valid_mask and valid_mask.absolute())
    if table is not None and (strangers := len(table) - len({table.find(task.item.name) for task in tasks} - {None})):
        echo(f"{prompts} names {strangers} photographs that are not in {source}; left out", err=True)
    if sa1b:
        distinct_without_suffix(task.item.name for task in tasks)
    # Loaded here to find out what works, so that all workers take the same and none falls back.
    with silenced():
        predictor = edge_sam.load(model, runtime=runtime, precision=precision)
    workers, threads = share_cores(workers, threads, predictor.runtime)
    job = Job(
        model=str(Path(model).absolute()) if Path(model).is_dir() else model,
        runtime=predictor.runtime,
        precision=predictor.precision,
        threads=threads,
        limits=limits,
        long_side=long_side,
        square=_or(square, everything),
        prefer=check_preference(prefer),
        grid=grid if everything else None,
        function=function,
        frames=str(save_frames.absolute()) if save_frames else None,
    )
    mask_generator(job, predictor)  # Impossible parameters are told before any work.
    bundle = predictor.bundle
    del predictor
    categories = {"object": 1} if everything else table.categories if table else None
    with store.opened(settings(job, bundle), restart=restart), _Stop() as stop, contextlib.ExitStack() as stack:
        if engine == "ray":
            stack.enter_context(silenced())
        report = run(
            tasks,
            _engine(engine, ray_address, job, workers, stop),
            store,
            output,
            sa1b=sa1b,
            categories=categories,
            stopped=stop,
            show=lambda steps: stack.enter_context(progress_bar(source, steps)),
        )
    facts = {"model": bundle.manifest.name, "precision": job.precision, "runtime": job.runtime}
    _print(report, {**facts, "engine": engine, "workers": workers, "threads": threads}, json)
    code = 1 if report.failed else 0
    raise typer.Exit(code if stop.signal is None else 128 + stop.signal)


class _Stop:
    """Turns the first Ctrl-C or SIGTERM into a wish to stop; the second ends the process at once.

    At once means as if killed, which loses nothing of what is done: a pool of processes could take its time to end.
    Workers end with their parent.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __call__(self) -> bool:
        return self.signal is not None

    def __enter__(self) -> _Stop:
        self._before = {number: signal.signal(number, self._wish) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _wish(self, number: int, _: FrameType | None) -> None:
        from rich.console import Console

        if self.signal is not None:
            Console(stderr=True).show_cursor()  # The progress bar hides it.
            os._exit(128 + number)
        self.signal = number
        echo("stopping; what is in work is finished first (again to stop at once)", err=True)


_Value = TypeVar("_Value")


def _or(given: _Value | None, default: _Value) -> _Value:
    return default if given is None else given


def _prompts(given: str) -> tuple[PromptTable | None, str | None]:
    """Prompts of a file, or the function that makes them; neither for the grid."""
    from edge_sam.annotate.functions import find_function
    from edge_sam.annotate.prompt_files import read_prompts

    if given == "grid":
        return None, None
    path = Path(given)
    if path.is_file() or path.suffix.lower() in (".json", ".csv", ".jsonl"):
        return read_prompts(path), None
    with contextlib.redirect_stdout(sys.stderr):  # What its code prints is no output of the command.
        return None, find_function(given)[0]


def _engine(name: str, address: str | None, job: Job, workers: int, stop: _Stop) -> Engine:
    if name == "local":
        from edge_sam.annotate.pool import run_pool

        return lambda tasks: run_pool(job, tasks, workers, stop)
    from edge_sam.annotate.ray_data import run_ray

    return lambda tasks: run_ray(job, tasks, workers, stop, address or os.environ.get("RAY_ADDRESS"))


def _print(report: AnnotateReport, facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        import msgspec

        print_json({**msgspec.to_builtins(report), **facts})
        return
    done = f"{report.done_now} photographs now, {report.done_before} before, of {report.photographs}"
    echo(f"{done}; {report.seconds:.0f} s, {report.photographs_per_second:.2f} a second")
    rejected = ", ".join(f"{reason} {count}" for reason, count in report.rejected.items()) or "none"
    echo(f"{report.annotations} masks from {report.prompts} prompts; rejected: {rejected}")
    for what, absent in (("skipped", report.skipped), ("failed", report.failed)):
        for one in absent[:_SHOWN]:
            echo(f"{what} {one.name}: {one.reason}", err=True)
        if len(absent) > _SHOWN:
            echo(f"{what} {len(absent) - _SHOWN} more; all are in report.json of the working folder", err=True)
    echo(f"data set: {report.output}" if report.output else "stopped early; the same command goes on from here")
