"""`edge-sam camera`: objects followed live."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_sam.cli.options import ModelOption, PrecisionOption, RuntimeOption, StrictOption, ThreadsOption
from edge_sam.cli.output import echo
from edge_sam.cli.progress import status
from edge_sam.cli.prompts import masks as masks_as_prompts
from edge_sam.cli.prompts import points_and_boxes
from edge_sam.errors import InputError
from edge_sam.system.quiet import silenced

if TYPE_CHECKING:
    from types import FrameType

    from edge_sam import Predictor, Stream
    from edge_sam.camera.sinks import Sink


def camera(
    source: Annotated[
        str,
        typer.Argument(
            help="Camera (0, /dev/video0), video file, folder of frames, rtsp:// or http:// address, or GStreamer"
            " pipeline."
        ),
    ],
    point: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y[,0|1]", help="Point in pixels of the first frame, on the object or off it (0)."),
    ] = None,
    box: Annotated[
        list[str] | None,
        typer.Option(metavar="X0,Y0,X1,Y1", help="Box in pixels of the first frame. Repeatable: one for each object."),
    ] = None,
    mask_file: Annotated[
        list[Path] | None,
        typer.Option(help="Picture of the first frame's size: each number but 0 is an object. Repeatable."),
    ] = None,
    stdin: Annotated[
        bool, typer.Option("--stdin", help='Take new prompts from standard input: {"prompts": [{"box": …}]} a line.')
    ] = False,
    long_side: Annotated[
        int | None,
        typer.Option(help="Pixels the longer side is scaled to.", show_default="512, or what meets the deadline"),
    ] = None,
    budget_ms: Annotated[float | None, typer.Option(help="Deadline: milliseconds that a frame may take.")] = None,
    fps: Annotated[float | None, typer.Option(help="Deadline: frames a second to reach on average.")] = None,
    every_frame: Annotated[
        bool, typer.Option("--every-frame", help="All frames of a file or folder, in order and none dropped.")
    ] = False,
    source_fps: Annotated[
        float | None, typer.Option(help="Rate to play a file or folder at.", show_default="its own, 30 for a folder")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Window with the overlay; Q or Escape ends.")] = False,
    video: Annotated[Path | None, typer.Option(help="Write the overlay as a video file.")] = None,
    masks: Annotated[Path | None, typer.Option(help="Folder for a PNG mask of each frame.")] = None,
    json: Annotated[
        bool, typer.Option("--json", help="JSON lines on standard output: one for each frame, the last the summary.")
    ] = False,
    timeout: Annotated[float, typer.Option(help="Seconds without an answer after which an address is lost.")] = 5.0,
    patience: Annotated[float, typer.Option(help="Seconds for which a lost source is tried again.")] = 60.0,
    model: ModelOption = "mobile-sam",
    runtime: RuntimeOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
    strict: StrictOption = False,
) -> None:
    """Follow objects through a camera, a video, a folder of frames or a network stream, on a deadline."""
    drawn, size = masks_as_prompts(mask_file or [])
    prompts = points_and_boxes(point or [], box or []) + drawn
    if not prompts and not stdin:
        raise InputError("nothing to follow; give --point X,Y, --box X0,Y0,X1,Y1, --mask-file FILE or --stdin")
    _check_window(show)
    _check_outputs(source, video, masks)

    import edge_sam

    loaded: Predictor | str = model
    # With a deadline and nothing said about the runtime, the first frame decides which is the fastest.
    free = (budget_ms or fps) and (runtime, precision, threads, strict) == ("auto", "auto", None, False)
    with silenced():
        if not free:
            loaded = edge_sam.load(model, runtime=runtime, precision=precision, threads=threads, strict=strict)
        stream = edge_sam.Stream(
            source,
            loaded,
            prompts,
            size=size,
            long_side=long_side,
            budget_ms=budget_ms,
            fps=fps,
            every_frame=every_frame,
            source_fps=source_fps,
            timeout=timeout,
            patience=patience,
        )
    with stream:
        stream.sinks += _sinks(stream, video, masks, json, every_frame)
        if stdin:
            _listen(stream)
        with _stopped_by_signals(stream) as stopped:
            try:
                _follow(stream, show)
            finally:
                _print_summary(stream, json)
    if signal.SIGTERM in stopped:
        raise typer.Exit(128 + signal.SIGTERM)


def _sinks(stream: Stream, video: Path | None, masks: Path | None, as_json: bool, every_frame: bool) -> list[Sink]:
    from edge_sam.camera.capture import USUAL_RATE
    from edge_sam.camera.sinks import JsonSink, MaskSink, VideoSink

    sinks: list[Sink] = []
    if video is not None:
        sinks.append(VideoSink(video, stream.rate or USUAL_RATE, in_time=not every_frame))
    if masks is not None:
        sinks.append(MaskSink(masks))
    if as_json:
        sinks.append(JsonSink(sys.stdout))
    return sinks


def _follow(stream: Stream, show: bool) -> None:
    from edge_sam.camera.window import Window

    window = Window() if show else None
    with status("waiting for the first frame …") as tell:
        for frame in stream:
            tell(stream)
            if window is not None and not window.show(frame):
                stream.stop()


def _check_window(show: bool) -> None:
    from edge_sam.camera.window import why_no_window

    if show and (reason := why_no_window()):
        raise InputError(f"--show: {reason}")


def _check_outputs(source: str, video: Path | None, masks: Path | None) -> None:
    from edge_sam.files.atomic import check_output_file, check_output_folder

    for option, path, check in (("--video", video, check_output_file), ("--masks", masks, check_output_folder)):
        if path is None:
            continue
        check(path)
        if os.path.exists(source) and path.exists() and path.samefile(source):  # noqa: PTH110 (never raises)
            raise InputError(f"{option} {path} would overwrite the source; write somewhere else")


def _listen(stream: Stream) -> None:
    """Take prompts from standard input as they come."""
    import threading

    from edge_sam.camera.commands import lines_of, listen

    if sys.stdin is None:
        raise InputError("--stdin: standard input is closed")
    # Unbuffered: a buffer's lock, held by a thread that waits for a line, would stop Python from ending.
    file = open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)  # noqa: SIM115 (a number, not a path)
    threading.Thread(target=listen, args=(lines_of(file), stream.prompt), name="edge-sam stdin", daemon=True).start()


@contextlib.contextmanager
def _stopped_by_signals(stream: Stream) -> Iterator[list[int]]:
    """Let the first Ctrl-C or SIGTERM end the stream in order; a second one ends the process at once.

    At once means without Python's own end, which would wait for a sink that hangs: a full pipe that nobody reads, say.
    """
    from rich.console import Console

    received: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, _: FrameType | None) -> None:
        if received:
            Console(stderr=True).show_cursor()  # The line of statistics hides it.
            os._exit(128 + number)
        received.append(number)
        stream.stop()

    for number in before:
        signal.signal(number, stop)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print_summary(stream: Stream, as_json: bool) -> None:
    stream.close()
    summary = stream.summary()
    if as_json:
        from edge_sam.camera.sinks import JsonSink

        JsonSink(sys.stdout).write_line({"summary": summary})
        return
    if summary["frames"]:
        for text in _told(summary):
            echo(text)


def _told(summary: dict[str, Any]) -> list[str]:
    from edge_sam.camera.deadline import Setting

    lost = f", {summary['reconnects']} times picked up again" if summary["reconnects"] else ""
    corrupt = f", {summary['corrupt']} corrupt" if summary["corrupt"] else ""
    drops = "".join(f", {count} by {name}" for name, count in summary["sinks_dropped"].items() if count)
    lines = [
        f"{summary['frames']} frames in {summary['seconds']:.1f} s ({summary['fps']} a second), {summary['encoded']}"
        f" encoded; {summary['dropped']} dropped{drops}{corrupt}{lost}"
    ]
    states = ", ".join(f"{state} {count}" for state, count in summary["states"].items())
    lines += [f"objects: {states}"] if states else []
    stages = "  ".join(f"{stage} {ms['p50']:.1f}/{ms['p95']:.1f}" for stage, ms in summary["stages_ms"].items())
    setting = summary["setting"]
    unmet = "" if setting["met"] else " (the deadline is not met)"
    return [
        *lines,
        f"milliseconds, median/95 %: {stages}",
        f"{summary['model']} {summary['precision']} on {summary['provider']},"
        f" {Setting(setting['long_side'], setting['interval'])}{unmet}; {summary['ended']}",
    ]
