"""The command line: `edge-sam`. Each command is a module and imports what it needs only when it runs."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import warnings
from types import FrameType
from typing import TextIO

import cv2
import typer

from edge_sam.cli.annotate import annotate
from edge_sam.cli.bench import bench
from edge_sam.cli.build import build
from edge_sam.cli.camera import camera
from edge_sam.cli.doctor import doctor
from edge_sam.cli.eval import evaluate
from edge_sam.cli.everything import everything
from edge_sam.cli.export import convert, export
from edge_sam.cli.models import models, pull
from edge_sam.cli.output import Commands, echo
from edge_sam.cli.quantize import quantize
from edge_sam.cli.segment import segment
from edge_sam.cli.tune import tune
from edge_sam.errors import EdgeSamError, InputError, one_line

app = typer.Typer(
    name="edge-sam",
    cls=Commands,
    help="Promptable segmentation (Segment Anything) on CPUs and embedded boards, without PyTorch.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(segment)
app.command()(everything)
app.command()(camera)
app.command()(annotate)
app.command()(models)
app.command()(pull)
app.command()(export)
app.command()(convert)
app.command()(quantize)
app.command()(build)
app.command()(tune)
app.command("eval")(evaluate)
app.command()(bench)
app.command()(doctor)


def _version(show: bool) -> None:
    if show:
        from edge_sam import __version__

        echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(  # noqa: ARG001 (its callback has done the work)
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Say on standard error what is chosen and why."),
) -> None:
    logging.getLogger("edge_sam").addHandler(_Echo())
    if verbose:
        logging.getLogger("edge_sam").setLevel(logging.INFO)


def main() -> None:
    """Run the command line: exit 0 done, 2 bad usage or input, 1 anything else, with one line on stderr.

    With ``EDGE_SAM_DEBUG`` set, errors keep their traceback.
    """
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if stream is None:  # Else the next file gets the number, and in it what native libraries print.
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        _fail("standard output is closed; redirect it to /dev/null where nobody reads it", 1)
    signal.signal(signal.SIGTERM, _terminate)
    warnings.showwarning = _warn
    getattr(cv2.utils, "logging", cv2).setLogLevel(0)  # The setting moved between versions of OpenCV.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # A stream may be closed, or something of the caller's.
            # Paths come back byte for byte where the encoding allows it; a plain terminal gets escapes.
            errors = "surrogateescape" if stream.encoding.lower() == "utf-8" else "backslashreplace"
            stream.reconfigure(errors=errors)  # type: ignore[union-attr]
    if os.environ.get("EDGE_SAM_DEBUG"):
        app()
        return
    try:
        app()
    except InputError as error:
        _fail(str(error), 2)
    except EdgeSamError as error:
        _fail(str(error), 1)
    except OSError as error:
        _fail(one_line(error), 1)
    except MemoryError:
        _fail("out of memory", 1)
    except Exception as error:
        _fail(f"{type(error).__name__}: {error} (EDGE_SAM_DEBUG=1 shows where)", 1)


def _terminate(number: int, _: FrameType | None) -> None:
    """End in order, so that temporary files go; 128 and the signal's number is what a shell expects."""
    sys.exit(128 + number)


class _Echo(logging.Handler):
    """Log lines on whatever is standard error at the time."""

    def emit(self, record: logging.LogRecord) -> None:
        echo(self.format(record), err=True)


def _warn(
    message: Warning | str,
    category: type[Warning],  # noqa: ARG001 (the rest is where in the code, which a line for users leaves out)
    filename: str,  # noqa: ARG001
    lineno: int,  # noqa: ARG001
    file: TextIO | None = None,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> None:
    """Show a warning as one line, as errors are."""
    echo(f"warning: {' '.join(str(message).split())}", err=True)


def _fail(message: str, code: int) -> None:
    echo(f"error: {' '.join(message.split())}", err=True)
    sys.exit(code)
