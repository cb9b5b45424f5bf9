"""`edge-sam annotate`: photographs in, a data set of masks out."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from edge_sam.annotate.limits import Limits
from edge_sam.cli.options import FLAT, ON_A_GRID, GridOptions, Json, Run
from edge_sam.cli.output import echo, print_json
from edge_sam.cli.text import WORDS, TextOptions
from edge_sam.errors import InputError
from edge_sam.imaging.view import View, ViewSize
from edge_sam.inference.run_options import RunOptions
from edge_sam.preference import Preference
from edge_sam.system.quiet import silenced

if TYPE_CHECKING:
    from edge_sam.annotate.pipeline import AnnotateReport, Engine
    from edge_sam.annotate.prompt_files import PromptTable
    from edge_sam.annotate.records import Task
    from edge_sam.annotate.text_job import TextJob
    from edge_sam.annotate.worker import Job
    from edge_sam.imaging.coco import Id

_SHOWN = 10
"""Photographs that are named on the terminal; the report has all."""


def annotate(
    source: str,
    /,
    *,
    output: Path,
    prompts: str | None = None,
    words: Annotated[TextOptions, WORDS] = TextOptions(),
    layout: Annotated[Literal["auto", "coco", "sa1b"], Parameter("--format")] = "auto",
    every: Annotated[int, Parameter(validator=Number(gte=1))] = 1,
    save_frames: Path | None = None,
    grid: Annotated[GridOptions, ON_A_GRID] = GridOptions(),
    limits: Annotated[Limits, FLAT] = Limits(),
    valid_mask: Path | None = None,
    workers: int | None = None,
    engine: Literal["local", "ray"] = "local",
    ray_address: str | None = None,
    prefer: Preference = "auto",
    size: Annotated[ViewSize, FLAT] = ViewSize(),
    square: Annotated[bool | None, Parameter(negative="--no-square")] = None,
    model: str = "mobile-sam",
    decoder: Path | None = None,
    run: Run = RunOptions(),
    restart: bool = False,
    json: Json = False,
) -> int:
    """Make a data set of masks from photographs. If it is stopped or killed, the same command continues.

    Finished photographs are kept in OUTPUT.work. docs/annotate.md says how to run it on many machines.

    Parameters
    ----------
    source
        Folder (with its subfolders), glob in quotes, list (.txt), video, or photograph.
    output
        The data set: a .json file (COCO), or a folder (SA-1B).
    prompts
        grid: everything mode, the default without --text. Or a file of boxes or points (.json: COCO, .csv, .jsonl).
        Or a Python function, whose code is run: FILE.py:function, module:function, or an entry point of
        edge_sam.prompts.
    layout
        auto chooses by the suffix of OUTPUT.
    every
        Take every Nth frame of a video.
    save_frames
        Folder to write a video's frames to, as PNG.
    valid_mask
        Picture, or folder of pictures by name. Masks are cut to its non-black pixels.
    workers
        Processes. Default: one for each core. Each takes its share of the cores as threads.
    engine
        local, or ray for many machines.
    ray_address
        A Ray cluster, or auto. Default: RAY_ADDRESS, else a new cluster on this machine.
    prefer
        Which mask answers a prompt; see edge-sam segment --help.
    square
        Encode a square, as the reference implementation does. Default: with a grid, else as suits the model.
    model
        Model name or bundle folder; with --decoder, the encoder (.onnx, .ort, .xml) of another exporter.
    decoder
        The decoder that belongs to that encoder.
    restart
        Discard the results of earlier runs.
    """
    from edge_sam.annotate.output import check_output, is_sa1b, working_folder
    from edge_sam.annotate.pipeline import annotate as annotate_all
    from edge_sam.annotate.sources import open_source
    from edge_sam.annotate.store import Store
    from edge_sam.annotate.tasks import job_settings, make_tasks, share_cores
    from edge_sam.annotate.worker import Job, mask_generator
    from edge_sam.annotate.writers import distinct_without_suffix
    from edge_sam.cli.progress import progress_bar
    from edge_sam.files.atomic import check_output_folder
    from edge_sam.importing.cached import with_decoder
    from edge_sam.loading import load_with
    from edge_sam.system.signals import stop_on_signal

    words.check()
    if words.text and prompts is not None:
        raise InputError("--text makes the prompts itself; leave out --prompts")
    prompts = prompts or "grid"
    sa1b, store = is_sa1b(output, layout), Store(working_folder(output))
    check_output(output)
    if save_frames is not None:
        check_output_folder(save_frames)
    table, function = _prompts(prompts)
    text = _text_job(words)
    on_grid = table is None and function is None and text is None
    tasks = make_tasks(open_source(source, every=every), table, valid_mask and valid_mask.absolute())
    if table is not None:
        _say_unmatched(table, tasks, prompts, source)
    if sa1b:
        distinct_without_suffix(task.item.name for task in tasks)
    # Loaded here to find out what works, so that all workers take the same and none falls back.
    with silenced():
        model = str(with_decoder(model, decoder))
        predictor = load_with(model, replace(run, threads=None))
    workers, threads = share_cores(workers, run.threads, predictor.runtime)
    run = replace(run, runtime=predictor.runtime, precision=predictor.precision, threads=threads)
    job = Job(
        model=str(Path(model).absolute()) if Path(model).is_dir() else model,
        run=run,
        view=View(long_side=size.long_side, square=True if square is None and on_grid else square),
        limits=limits,
        prefer=prefer,
        grid=grid if on_grid else None,
        function=function,
        frames=str(save_frames.absolute()) if save_frames else None,
        text=text,
    )
    mask_generator(job, predictor)  # Reports impossible settings before any work.
    if text is not None:
        text.segmenter(predictor, run)  # Reports a matcher that cannot be loaded.
    bundle = predictor.bundle
    del predictor
    categories: Mapping[str, Id] | None = {"object": 1} if on_grid else table.categories if table else None
    if text is not None:
        categories = text.categories
    with (
        store.opened(job_settings(job, bundle), restart=restart),
        stop_on_signal(_say_stopping) as stop,
        contextlib.ExitStack() as stack,
    ):
        if engine == "ray":
            stack.enter_context(silenced())
        report = annotate_all(
            tasks,
            _engine(engine, ray_address, job, workers, stop),
            store,
            output,
            sa1b=sa1b,
            categories=categories,
            stopped=stop,
            show=lambda steps: stack.enter_context(progress_bar(source, steps)),
        )
    facts = {"model": bundle.manifest.name, "precision": run.precision, "runtime": run.runtime}
    _print(report, {**facts, "engine": engine, "workers": workers, "threads": threads}, json)
    code = 1 if report.failed else 0
    return code if stop.signal is None else 128 + stop.signal


def _say_unmatched(table: PromptTable, tasks: Sequence[Task], prompts: str, source: str) -> None:
    if unmatched := len(table) - len({table.find(task.item.name) for task in tasks} - {None}):
        echo(f"ignoring {unmatched} photographs of {prompts} that are not in {source}", err=True)


def _say_stopping() -> None:
    echo("stopping after the photographs in progress (again to stop at once)", err=True)


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


def _text_job(words: TextOptions) -> TextJob | None:
    if not words.text or not words.matcher:
        return None
    from edge_sam.annotate.text_job import TextJob
    from edge_sam.text.tokens import check_phrases

    matcher = tuple(str(path.absolute()) for path in words.matcher)
    return TextJob(tuple(check_phrases(words.text)), matcher, words.matcher_precision, words.settings)


def _engine(name: str, address: str | None, job: Job, workers: int, stop: Callable[[], bool]) -> Engine:
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
    echo(f"data set: {report.output}" if report.output else "stopped early; run the same command to continue")
