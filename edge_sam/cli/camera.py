"""`edge-sam camera`: track objects live."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from edge_sam.camera.settings import StreamSettings
from edge_sam.cli.options import FLAT, HYPHEN, Run
from edge_sam.cli.output import echo
from edge_sam.cli.progress import status
from edge_sam.cli.prompts import masks as masks_as_prompts
from edge_sam.cli.prompts import points_and_boxes
from edge_sam.cli.text import WORDS, TextOptions, open_segmenter
from edge_sam.errors import InputError
from edge_sam.inference.run_options import RunOptions
from edge_sam.system.quiet import silenced

if TYPE_CHECKING:
    from edge_sam import Predictor, Stream
    from edge_sam.camera.sinks import Sink
    from edge_sam.camera.word_prompts import WordPrompts


def camera(
    source: str,
    /,
    *,
    point: Annotated[list[str] | None, HYPHEN] = None,
    box: Annotated[list[str] | None, HYPHEN] = None,
    mask_file: list[Path] | None = None,
    stdin: bool = False,
    words: Annotated[TextOptions, WORDS] = TextOptions(),
    settings: Annotated[StreamSettings, FLAT] = StreamSettings(),
    show: bool = False,
    video: Path | None = None,
    masks: Path | None = None,
    json: bool = False,
    model: str = "mobile-sam",
    decoder: Path | None = None,
    run: Run = RunOptions(),
) -> int:
    """Track objects through a camera, a video, a folder of frames or a network stream, on a deadline.

    Parameters
    ----------
    source
        Camera (0, /dev/video0), video file, folder of frames, rtsp:// or http:// address.
    point
        Point in pixels of the first frame, X,Y or X,Y,0|1: on the object (1, the default) or off it (0). Repeatable.
    box
        Box in pixels of the first frame, X0,Y0,X1,Y1. Repeatable: one for each object.
    mask_file
        Label image of the first frame's size: each number but 0 is an object. Repeatable.
    stdin
        Take new prompts from standard input, one JSON object a line: {"prompts": [{"box": [x0, y0, x1, y1]}]}.
    show
        Show the overlay in a window; Q or Escape ends.
    video
        Write the overlay as a video file.
    masks
        Folder for a PNG mask of each frame.
    json
        Print JSON lines on standard output: one for each frame; the last is the summary.
    model
        Model name or bundle folder; with --decoder, the encoder (.onnx, .ort, .xml) of another exporter.
    decoder
        The decoder that belongs to that encoder.
    """
    drawn, size = masks_as_prompts(mask_file or [])
    prompts = points_and_boxes(point or [], box or []) + drawn
    words.check()
    if words.text and (prompts or stdin):
        raise InputError("--text takes no --point, --box, --mask-file or --stdin beside it; leave them out")
    if not prompts and not stdin and not words.text:
        raise InputError("nothing to track; give --point X,Y, --box X0,Y0,X1,Y1, --mask-file FILE, --text or --stdin")
    _check_window(show)
    _check_outputs(source, video, masks)

    import edge_sam
    from edge_sam.importing.cached import with_decoder
    from edge_sam.loading import load_with
    from edge_sam.system.signals import stop_on_signal

    model = str(with_decoder(model, decoder))
    loaded: Predictor | str = model
    # With a deadline and nothing said about the runtime, the first frame decides which is the fastest.
    free = (settings.budget_ms or settings.fps) and run == RunOptions() and not words.text
    found: WordPrompts | None = None
    with silenced():
        if not free:
            loaded = load_with(model, run)
        if not isinstance(loaded, str) and (segmenter := open_segmenter(loaded, words, run)) is not None:
            from edge_sam.camera.word_prompts import WordPrompts

            found = WordPrompts(segmenter, words.text or [])
        stream = edge_sam.Stream(source, loaded, found or prompts, size=size, **vars(settings))
    with stream:
        stream.sinks += _sinks(stream, video, masks, json, settings.every_frame, found)
        if stdin:
            _listen(stream)
        with stop_on_signal(stream.stop) as stop:
            try:
                _track(stream, show)
            finally:
                _print_summary(stream, json)
    return 128 + signal.SIGTERM if stop.signal == signal.SIGTERM else 0


def _sinks(
    stream: Stream,
    video: Path | None,
    masks: Path | None,
    as_json: bool,
    every_frame: bool,
    words: WordPrompts | None,
) -> list[Sink]:
    from edge_sam.camera.capture import USUAL_RATE
    from edge_sam.camera.sinks import JsonSink, MaskSink, VideoSink

    sinks: list[Sink] = [] if words is None else [words]
    if video is not None:
        sinks.append(VideoSink(video, stream.rate or USUAL_RATE, in_time=not every_frame))
    if masks is not None:
        sinks.append(MaskSink(masks))
    if as_json:
        sinks.append(JsonSink(sys.stdout) if words is None else JsonSink(sys.stdout, words.words_of))
    return sinks


def _track(stream: Stream, show: bool) -> None:
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


def _print_summary(stream: Stream, as_json: bool) -> None:
    stream.close()
    summary = stream.summary()
    if as_json:
        from edge_sam.camera.sinks import JsonSink

        JsonSink(sys.stdout).write_line({"summary": summary})
        return
    if summary["frames"]:
        for text in _summary_lines(summary):
            echo(text)


def _summary_lines(summary: dict[str, Any]) -> list[str]:
    from edge_sam.camera.deadline import Setting

    lost = f", {summary['reconnects']} reconnects" if summary["reconnects"] else ""
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
