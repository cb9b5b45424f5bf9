"""Prompts that come as JSON lines while a stream runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

import msgspec

from edge_sam.errors import InputError
from edge_sam.prompts import Prompt
from edge_sam.serialization import decode_json

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
        It is something else, or a prompt is impossible.
    """
    try:
        line: _Line = decode_json(text, _Line)
    except msgspec.DecodeError as error:
        raise InputError(f"not a line of prompts: {error}") from error
    return [Prompt(points=asked.points, labels=asked.labels, box=asked.box) for asked in line.prompts]


def listen(lines: Iterable[str | bytes], prompt: Callable[[Sequence[Prompt]], None]) -> None:
    """Pass on the prompts of each line until there are no more; what cannot be used is left out with a warning."""
    for text in lines:
        if text.strip():
            try:
                prompt(parse_line(text))
            except InputError as error:
                _log.warning("a line of standard input is left out: %s", error)
