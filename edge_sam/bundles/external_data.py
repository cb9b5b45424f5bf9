"""Files of weights that runtimes read from beside a graph."""

from __future__ import annotations

import mmap
import re
from pathlib import Path

_LOCATION = re.compile(rb"\n\x08location\x12([\x01-\x7f])", re.DOTALL)
"""Begin of an entry of an ONNX file that names a file of weights: the key, and the length of the name that follows."""


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
    """
    if format == "openvino":
        beside = graph.with_suffix(".bin")
        return {beside.name} if beside.is_file() else set()
    if format != "onnx":
        return set()
    with graph.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        names = {content[found.end() : found.end() + found[1][0]] for found in _LOCATION.finditer(content)}
    return {name.decode(errors="replace") for name in names}
