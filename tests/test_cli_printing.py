r"""What commands print where the output is closed, full or gone, and of names that a terminal would obey.

A name with an escape sequence and rich's markup stands for all of them: ``a\x1b[31m[/b]``.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_cli import COFFEE, edge_sam, refused

from edge_sam.cli.output import plain_console, table
from edge_sam.files.text import printable

HOSTILE = "a\x1b[31m[/b]"
SHOWN = r"a\x1b[31m[/b]"
COMMANDS = [("models",), ("models", "--json"), ("--help",)]
MAIN = "from edge_sam.cli import main; main()"


def run(*arguments: object, stdout: int, stderr: int = subprocess.PIPE) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", MAIN, *map(str, arguments)]
    return subprocess.run(command, check=False, stdout=stdout, stderr=stderr)


def one_line_of_error(done: subprocess.CompletedProcess[bytes]) -> str:
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    return line


@pytest.mark.parametrize("command", COMMANDS)
def test_standard_output_may_be_closed(command: tuple[str, ...], tmp_path: Path) -> None:
    told = refused(edge_sam(*command, cwd=tmp_path, before=lambda: os.close(1)), code=1)
    assert "standard output is closed" in told


def test_a_closed_standard_output_is_refused_before_the_work(tmp_path: Path) -> None:
    arguments = ("segment", COFFEE, "--point", "1,1", "--output", "out")
    assert "closed" in refused(edge_sam(*arguments, cwd=tmp_path, before=lambda: os.close(1)), code=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("command", COMMANDS)
def test_standard_output_may_be_full(command: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        assert "No space left" in one_line_of_error(run(*command, stdout=full.fileno()))


@pytest.mark.parametrize("command", [("models",), ("models", "--json")])
def test_nobody_may_read_standard_output(command: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert "Broken pipe" in one_line_of_error(run(*command, stdout=writer))
    finally:
        os.close(writer)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_standard_error_may_be_full_or_closed(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = run("segment", "absent.png", "--point", "1,1", stdout=full.fileno(), stderr=full.fileno())
    assert done.returncode == 2
    assert edge_sam("models", cwd=tmp_path, before=lambda: os.closerange(1, 3)).returncode == 1
    closed = edge_sam("models", "--json", cwd=tmp_path, before=lambda: os.close(2))
    assert closed.returncode == 0
    assert json.loads(closed.stdout)["models"]


def test_the_number_of_a_closed_stream_goes_to_no_file(tmp_path: Path) -> None:
    script = "import os; from edge_sam.cli import main\n"
    script += "try: main()\nfinally: print(os.open('file', os.O_WRONLY | os.O_CREAT))"
    command = [sys.executable, "-c", script, "--version"]
    done = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, preexec_fn=lambda: os.close(2), check=False)
    assert int(done.stdout.splitlines()[-1]) > 2


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ordinary [bold] :smile: café 写真.png", "ordinary [bold] :smile: café 写真.png"),
        ("\x1b[2J\x07\r\n\t\x00\x7f", r"\x1b[2J\x07\r\n\t\x00\x7f"),
        ("\x9b31m\x85\u2028\u202egnp.exe", r"\x9b31m\x85\u2028\u202egnp.exe"),
        (os.fsdecode(b"caf\xe9.png"), os.fsdecode(b"caf\xe9.png")),
    ],
)
def test_control_characters_are_shown_escaped(text: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert printable(text) == shown
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    console = plain_console()
    console.print(text, soft_wrap=True)
    rows = table(text)
    rows.add_row(text)
    console.print(rows)
    assert out.getvalue().count(shown) == 3
    assert not set(out.getvalue()) & set("\x1b\x07\x00\x9b\u202e")


RUN_ALL = """
import contextlib, io, json, sys
from edge_sam.cli import main

def run(arguments):
    sys.argv = ["edge-sam", *arguments]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            main()
        except SystemExit as end:
            return end.code, out.getvalue() + err.getvalue()

print(json.dumps([run(arguments) for arguments in json.loads(sys.argv[1])]))
"""
"""Many command lines, one after the other in one process: starting it is what costs time."""


def test_names_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    (tmp_path / HOSTILE).parent.mkdir()  # The markup has a slash: it is a folder and a file in it.
    shutil.copy(COFFEE, tmp_path / f"{HOSTILE}.png")
    good: list[tuple[str, ...]] = [
        ("segment", f"{HOSTILE}.png", "--point", "300,120", "--long-side", "256", "--output", f"{HOSTILE} out"),
    ]
    bad: list[tuple[str, ...]] = [
        ("segment", f"no {HOSTILE}.png", "--point", "1,1"),
        ("segment", f"{HOSTILE}.png", "--point", HOSTILE),
        ("segment", f"{HOSTILE}.png", "--point", "1,1", "--model", HOSTILE),
        ("segment", f"{HOSTILE}.png", "--point", "1,1", "--output", f"{HOSTILE}.png"),
        ("models", HOSTILE),
        (HOSTILE,),
        ("models", f"--{HOSTILE}"),
        ("everything", HOSTILE),
        ("camera", HOSTILE, "--point", "1,1"),
        ("camera", HOSTILE, "--mask-file", HOSTILE),
        ("annotate", HOSTILE, "--output", "x.json"),
        ("eval", "mobile-sam", "--dataset", HOSTILE),
        ("bench", HOSTILE),
        ("bench", "--threads", HOSTILE),
        ("bench", "--compare", HOSTILE, HOSTILE),
        ("tune", "--image", HOSTILE),
        ("tune", "--threads", HOSTILE),
        ("build", HOSTILE),
        ("build", "--runtime", HOSTILE),
        ("pull", HOSTILE),
        ("convert", HOSTILE, "--output", HOSTILE),
    ]
    command = [sys.executable, "-c", RUN_ALL, json.dumps(good + bad)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    ran = list(zip(good + bad, json.loads(done.stdout), strict=True))
    assert [(words, shown) for words, (code, shown) in ran if code != (0 if words in good else 2)] == []
    assert [(words, shown) for words, (_, shown) in ran if SHOWN not in shown or "\x1b" in shown] == []


def test_progress_shows_names_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal: rich's own escape sequences are there, those of the name are not."""
    from edge_sam.cli.progress import progress_bar, status

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    for variable, value in (("TERM", "xterm"), ("COLUMNS", "200")):
        monkeypatch.setenv(variable, value)
    with progress_bar(HOSTILE, 2) as step:
        step()
    with status(HOSTILE) as show:
        show(HOSTILE)
    shown = terminal.getvalue()
    assert SHOWN in shown
    assert HOSTILE not in shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_full_terminal_stops_nothing() -> None:
    class Full(Terminal):
        def flush(self) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    with contextlib.redirect_stderr(Full()):
        plain_console(stderr=True).print("text")
