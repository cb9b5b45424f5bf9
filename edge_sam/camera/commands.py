"""Prompts that arrive as JSON lines while a stream runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import RawIOBase

import msgspec

from edge_sam.errors import InputError
from edge_sam.files.serialization import decode_json
from edge_sam.prompts import Prompt

MAX_LINE = 2**20
"""Longest line in bytes."""
MAX_PROMPTS = 1000
"""Most prompts in one line. Each prompt is an object to track through every frame."""
_CHUNK = 2**16
_log = logging.getLogger("edge_sam")


class _PromptFields(msgspec.Struct, forbid_unknown_fields=True):
    points: list[tuple[float, float]] | None = None
    labels: list[int] | None = None
    box: tuple[float, float, float, float] | None = None


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    prompts: list[_PromptFields]


def parse_line(text: str | bytes) -> list[Prompt]:
    """Read ``{"prompts": [{"points": [[x, y], …], "labels": [1, …], "box": [x0, y0, x1, y1]}, …]}``.

    Raises
    ------
    InputError
        The line has another form, is longer than `MAX_LINE`, has more than `MAX_PROMPTS` prompts, or a prompt is
        invalid.
    """
    if len(text) > MAX_LINE:
        raise InputError(f"the line is longer than {MAX_LINE} bytes")
    try:
        line: _Line = decode_json(text, _Line)
    except msgspec.DecodeError as error:
        raise InputError(f"not a line of prompts: {error}") from error
    if len(line.prompts) > MAX_PROMPTS:
        raise InputError(f"the line has {len(line.prompts)} prompts; give at most {MAX_PROMPTS}")
    return [Prompt(points=fields.points, labels=fields.labels, box=fields.box) for fields in line.prompts]


def lines_of(file: RawIOBase) -> Iterator[bytes]:
    """Yield the lines of a file as they arrive. A line longer than `MAX_LINE` is cut just beyond the limit."""
    line = b""
    while chunk := file.read(_CHUNK):
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            yield line + part
            line = b""
        line = (line + rest)[: MAX_LINE + 1]
    yield line


def listen(lines: Iterable[str | bytes], prompt: Callable[[Sequence[Prompt]], None]) -> None:
    """Pass the prompts of each line to `prompt`. Log a warning for each line that cannot be used, and skip it."""
    for text in lines:
        if text.strip():
            try:
                prompt(parse_line(text))
            except InputError as error:
                _log.warning("skipping a line of standard input: %s", error)
