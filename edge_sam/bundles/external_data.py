"""Files of weights that runtimes read from beside a graph."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

_INSIDE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
"""Messages of ONNX's protobuf schema that tensors may lie in, by the number of their field. An entry of a tensor's
`external_data` has a key (field 1) and a value (field 2)."""
_BYTES_OF = {1: 8, 5: 4}
"""Sizes of the wire types that have one."""
_VARINT, _LENGTH = 0, 2


def weights_beside(graph: Path, format: str) -> set[str]:
    """Return the names of the files that a runtime reads a graph's weights from.

    Parameters
    ----------
    graph : Path
        The file of the graph.
    format : str
        Its format. ONNX files name their files; OpenVINO takes the one with the graph's name.

    Raises
    ------
    OSError
        The graph cannot be read.
    ValueError
        It is not an ONNX file.
    """
    if format == "openvino":
        beside = graph.with_suffix(".bin")
        return {beside.name} if beside.is_file() else set()
    if format != "onnx":
        return set()
    with graph.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return {name.decode(errors="replace") for name in _locations(content)}


def _locations(content: mmap.mmap) -> Iterator[bytes]:
    """Yield the value of each `location` in the external data of an ONNX file's tensors."""
    todo = [("model", 0, len(content))]
    while todo:
        message, start, end = todo.pop()
        if message == "entry":
            entry = {field: content[begin:stop] for field, begin, stop in _fields(content, start, end)}
            if entry.get(1) == b"location":
                yield entry.get(2, b"")
            continue
        for field, begin, stop in _fields(content, start, end):
            if field in _INSIDE[message]:
                todo.append((_INSIDE[message][field], begin, stop))


def _fields(content: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, begin and end of the fields with a length in a message."""
    while start < end:
        key, start = _varint(content, start, end)
        kind = key & 7
        if kind == _VARINT:
            _, start = _varint(content, start, end)
        elif kind in _BYTES_OF:
            start += _BYTES_OF[kind]
        elif kind == _LENGTH:
            length, start = _varint(content, start, end)
            if length > end - start:
                raise ValueError("a field is longer than its message")
            yield key >> 3, start, start + length
            start += length
        else:
            raise ValueError(f"unknown wire type {kind}")


def _varint(content: mmap.mmap, start: int, end: int) -> tuple[int, int]:
    """Return a number and where it ends."""
    number = 0
    for shift in range(0, 70, 7):
        if start >= end:
            raise ValueError("a number is cut off")
        byte = content[start]
        number, start = number | (byte & 0x7F) << shift, start + 1
        if byte < 0x80:
            return number, start
    raise ValueError("a number is too long")
