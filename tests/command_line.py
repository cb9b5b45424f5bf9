"""The command line in this process, for tests that patch something or need no process of their own."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest
from cyclopts import App

from edge_sam.cli import app, main


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it printed."""

    exit_code: int
    stdout: str
    stderr: str


def invoke(*arguments: str) -> Done:
    """Run `edge-sam` with these arguments."""
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        warnings.catch_warnings(),  # `main` shows them in its own way.
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        warnings.filterwarnings("ignore", "Cyclopts application invoked without tokens")
        patch.setattr(sys, "argv", ["edge-sam", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
    return Done(int(ended.value.code or 0), out.getvalue(), err.getvalue())


def run_here(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `edge-sam` in this process, as `test_cli.edge_sam` does in one of its own, which takes a second longer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        done = invoke(*map(str, arguments))
    return subprocess.CompletedProcess("edge-sam", done.exit_code, done.stdout, done.stderr)


def command(name: str) -> App:
    """Return a command by name."""
    return app[name]


def options(name: str) -> set[str]:
    """Return every spelling of a command's options."""
    arguments = command(name).assemble_argument_collection()
    return {spelling for argument in arguments for spelling in argument.names if spelling.startswith("-")} | {
        spelling for argument in arguments for spelling in argument.negatives
    }
