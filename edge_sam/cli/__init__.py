"""The command line: `edge-sam`. Each command is a module and imports what it needs only when it runs."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable
from types import FrameType
from typing import Annotated, TextIO

import cv2
from cyclopts import App, CycloptsError, Parameter

from edge_sam.cli.annotate import annotate
from edge_sam.cli.bench import bench
from edge_sam.cli.build import build
from edge_sam.cli.camera import camera
from edge_sam.cli.doctor import doctor
from edge_sam.cli.encode import encode
from edge_sam.cli.eval import evaluate
from edge_sam.cli.everything import everything
from edge_sam.cli.export import convert, export
from edge_sam.cli.import_model import import_pair
from edge_sam.cli.models import models, pull
from edge_sam.cli.output import echo
from edge_sam.cli.quantize import quantize
from edge_sam.cli.segment import segment
from edge_sam.cli.serve import serve
from edge_sam.cli.tune import tune
from edge_sam.errors import EdgeSamError, InputError, one_line
from edge_sam.system.requirements import missing_line
from edge_sam.version import __version__

COMMANDS: dict[str, Callable[..., int | None]] = {
    "segment": segment,
    "everything": everything,
    "camera": camera,
    "serve": serve,
    "annotate": annotate,
    "encode": encode,
    "models": models,
    "pull": pull,
    "export": export,
    "convert": convert,
    "import": import_pair,
    "quantize": quantize,
    "build": build,
    "tune": tune,
    "eval": evaluate,
    "bench": bench,
    "doctor": doctor,
}
"""In the order of the help."""


def _shown(default: object) -> str | None:
    """Return a default worth showing; flags are off by default."""
    if default is None or isinstance(default, bool | dict):
        return None
    return f"{default:g}" if isinstance(default, float) else str(default)


app = App(
    name="edge-sam",
    help="Promptable segmentation (Segment Anything) on CPUs and embedded boards, without PyTorch.",
    version=__version__,
    help_format="markdown",
    default_parameter=Parameter(negative=(), show_default=_shown),
)
for _order, (_name, _command) in enumerate(COMMANDS.items()):
    app.command(_command, name=_name, sort_key=_order)


@app.meta.default
def run(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    verbose: Annotated[
        bool, Parameter(name=("--verbose", "-v"), help="Log on standard error: choices and why.")
    ] = False,
) -> int:
    """Run a command and return its exit code."""
    logger, handler = logging.getLogger("edge_sam"), _Echo()
    logger.addHandler(handler)
    if verbose:
        logger.setLevel(logging.INFO)
    try:
        code = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    finally:
        logger.removeHandler(handler)
    return code or 0


def main() -> None:
    """Run the command line: exit 0 done, 2 bad usage or input, 1 anything else, with one line on stderr.

    With ``EDGE_SAM_DEBUG`` set, errors keep their traceback.
    """
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if stream is None:  # Else the next file gets the number, and in it what native libraries print.
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        _fail("standard output is closed; redirect it to /dev/null if you do not need it", 1)
    signal.signal(signal.SIGTERM, _terminate)
    warnings.showwarning = _warn
    getattr(cv2.utils, "logging", cv2).setLogLevel(0)  # The setting moved between versions of OpenCV.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # A stream may be closed, or something of the caller's.
            # Paths come back byte for byte where the encoding allows it; a plain terminal gets escapes.
            errors = "surrogateescape" if stream.encoding.lower() == "utf-8" else "backslashreplace"
            stream.reconfigure(errors=errors)  # type: ignore[union-attr]
    try:
        sys.exit(app.meta(exit_on_error=False, print_error=False, result_action="return_value"))
    except Exception as error:
        if os.environ.get("EDGE_SAM_DEBUG"):
            raise
        _fail(*_error_line(error))


def _error_line(error: Exception) -> tuple[str, int]:
    """Return the error line and the exit code."""
    if isinstance(error, CycloptsError):
        return f"{error} See edge-sam {' '.join(error.command_chain or ())} --help".replace("  ", " "), 2
    if isinstance(error, InputError):
        return str(error), 2
    if isinstance(error, EdgeSamError):
        return str(error), 1
    if isinstance(error, OSError):
        return one_line(error), 1
    if isinstance(error, ModuleNotFoundError):  # Installed without its dependencies, as on boards.
        return f"{missing_line(error)} (EDGE_SAM_DEBUG=1 shows who needs it)", 1
    if isinstance(error, MemoryError):
        return "out of memory", 1
    return f"{type(error).__name__}: {error} (EDGE_SAM_DEBUG=1 shows where)", 1


def _terminate(number: int, _: FrameType | None) -> None:
    """Exit cleanly so that temporary files are removed, with the code that a shell expects."""
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
