"""Prompts that come as JSON lines while a stream runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import RawIOBase

import msgspec

from edge_sam.errors import InputError
from edge_sam.files.serialization import decode_json
from edge_sam.prompts import Prompt

MAX_LINE = 2**20
"""Bytes of one line."""
MAX_PROMPTS = 1000
"""Prompts of one line: each is an object to follow through every frame."""
_CHUNK = 2**16
_log = logging.getLogger("edge_sam")


class _Asked(msgspec.Struct, forbid_unknown_fields=True):
    points: list[tuple[float, float]] | None = None
    labels: list[int] | None = None
    box: tuple[float, float, float, float] | None = None


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    prompts: list[_Asked]


def parse_line(text: str | bytes) -> list[Prompt]:
    """Read ``{"prompts": [{"points": [[x, y], …], "labels": [1, …], "box": [x0, y0, x1, y1]}, …]}``.

    Raises
    ------
    InputError
        It is something else, longer than `MAX_LINE`, has more than `MAX_PROMPTS` prompts, or one is impossible.
    """
    if len(text) > MAX_LINE:
        raise InputError(f"it is longer than {MAX_LINE} bytes")
    try:
        line: _Line = decode_json(text, _Line)
    except msgspec.DecodeError as error:
        raise InputError(f"not a line of prompts: {error}") from error
    if len(line.prompts) > MAX_PROMPTS:
        raise InputError(f"it has {len(line.prompts)} prompts; at most {MAX_PROMPTS} objects are followed")
    return [Prompt(points=asked.points, labels=asked.labels, box=asked.box) for asked in line.prompts]


def lines_of(file: RawIOBase) -> Iterator[bytes]:
    """Split what comes into lines, as it comes; of a line that is too long no more is kept than shows that it is."""
    line = b""
    while chunk := file.read(_CHUNK):
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            yield line + part
            line = b""
        line = (line + rest)[: MAX_LINE + 1]
    yield line


def listen(lines: Iterable[str | bytes], prompt: Callable[[Sequence[Prompt]], None]) -> None:
    """Pass on the prompts of each line until there are no more; what cannot be used is left out with a warning."""
    for text in lines:
        if text.strip():
            try:
                prompt(parse_line(text))
            except InputError as error:
                _log.warning("a line of standard input is left out: %s", error)
