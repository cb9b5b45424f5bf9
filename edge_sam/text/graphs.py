"""The files of a matcher: graphs, chosen by precision, with what lies beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from edge_sam.bundles.bundle import GRAPH_FILES
from edge_sam.bundles.manifest import TensorSpec
from edge_sam.errors import InputError
from edge_sam.importing.graph_file import files_of, read_tensors

SUFFIXES = {
    "_fp16": "fp16",
    "_quantized": "int8",
    "_int8": "int8",
    "_uint8": "int8",
    "_q4": "int4",
    "_q4f16": "int4",
    "_bnb4": "int4",
}
"""Precisions by the ends of file names, as transformers.js and its converter have them."""
PRECISIONS = ("fp32", "fp16", "int8", "int4")
"""The most exact first."""
_DEPTH = ("*", "*/*")
"""Where the graphs of a folder lie: in it, or one folder deeper (`onnx/`, `visual/`)."""


@dataclass(frozen=True)
class Graph:
    """A file of one graph.

    Attributes
    ----------
    path : Path
        The file.
    format : str
        See `edge_sam.bundles.bundle.GRAPH_FILES`.
    precision : str
        By its name; see `SUFFIXES`.
    inputs, outputs : mapping of str to TensorSpec
        By name.
    """

    path: Path
    format: str
    precision: str
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]

    @property
    def files(self) -> list[Path]:
        """The file, and that of its weights if they are beside it."""
        return files_of(self.path)

    def size(self, name: str, axis: int) -> int | None:
        """Return the length of an input's axis. None if it is free."""
        shape = self.inputs[name].shape
        length = shape[axis] if -len(shape) <= axis < len(shape) else None
        return length if isinstance(length, int) else None


class GraphFile(NamedTuple):
    """A file of one graph that nobody has opened yet."""

    path: Path
    precision: str

    @property
    def format(self) -> str:
        """See `edge_sam.bundles.bundle.GRAPH_FILES`."""
        return GRAPH_FILES.get(self.path.suffix.lower(), "")


class _FileName(NamedTuple):
    """A file with the parts of its name."""

    path: Path
    stem: str
    precision: str


def read_graph(file: GraphFile) -> Graph:
    """Read the names, types and shapes of a graph's tensors. A runtime opens the file for it.

    Raises
    ------
    InputError
        The file is missing, damaged or of another format.
    """
    format, inputs, outputs = read_tensors(file.path)
    return Graph(
        file.path,
        format,
        file.precision,
        {tensor.name: tensor for tensor in inputs},
        {tensor.name: tensor for tensor in outputs},
    )


def choose_graphs(given: Sequence[Path], precision: str) -> list[GraphFile]:
    """Choose the graphs of files and folders, each in one precision.

    Parameters
    ----------
    given : sequence of Path
        Files, which are taken as they are, and folders, whose graphs are found.
    precision : str
        One of `PRECISIONS`; ``"auto"`` for the most exact that a folder has, ``"smallest"`` for the smallest file.

    Raises
    ------
    InputError
        There is no graph, or none in this precision.
    """
    graphs = []
    for path in given:
        files = [_parse_name(path)] if not path.is_dir() else _chosen(path, precision)
        graphs += [GraphFile(file.path, file.precision) for file in files]
    return graphs


def side_folders(graphs: Sequence[GraphFile]) -> list[Path]:
    """List the folders in which the files beside graphs may lie: theirs, then those above."""
    folders = [graph.path.absolute().parent for graph in graphs]
    return list(dict.fromkeys([*folders, *(folder.parent for folder in folders)]))


def choose_variant(variants: Sequence[tuple[str, int]], precision: str, what: str) -> int:
    """Return the index of the variant of a graph that suits a precision.

    Parameters
    ----------
    variants : sequence of (str, int)
        Precision and bytes of each.
    precision : str
        See `choose_graphs`.
    what : str
        The graph, for the message.

    Raises
    ------
    InputError
        No variant has this precision.
    """
    if precision == "smallest":
        return min(range(len(variants)), key=lambda i: variants[i][1])
    for wanted in PRECISIONS if precision == "auto" else (precision,):
        for i, (own, _) in enumerate(variants):
            if own == wanted:
                return i
    raise InputError(f"{what} in {', '.join(sorted({own for own, _ in variants}))}, not in {precision}")


def _chosen(folder: Path, precision: str) -> list[_FileName]:
    """Choose the files of a folder: each graph in one precision, and no whole model beside its parts."""
    variants: dict[tuple[Path, str], list[_FileName]] = {}
    for found in _files(folder):
        variants.setdefault((found.path.parent, found.stem), []).append(found)
    if not variants:
        raise InputError(f"{folder} holds no graph; give a folder with {', '.join(GRAPH_FILES)} files")
    stems = {stem for _, stem in variants}
    if {"text_model", "vision_model"} <= stems:  # `model` holds the same two once more.
        variants = {key: files for key, files in variants.items() if key[1] in ("text_model", "vision_model")}
    return [_variant(folder, files, precision) for _, files in sorted(variants.items())]


def _files(folder: Path) -> Iterator[_FileName]:
    for pattern in _DEPTH:
        for path in sorted(folder.glob(pattern)):
            if path.suffix.lower() in GRAPH_FILES and path.is_file():
                yield _parse_name(path)


def _parse_name(path: Path) -> _FileName:
    for end in sorted(SUFFIXES, key=len, reverse=True):
        if path.stem.endswith(end):
            return _FileName(path, path.stem.removesuffix(end), SUFFIXES[end])
    return _FileName(path, path.stem, "fp32")


def _variant(folder: Path, files: Sequence[_FileName], precision: str) -> _FileName:
    variants = [(found.precision, found.path.stat().st_size) for found in files]
    return files[choose_variant(variants, precision, f"{folder} has {files[0].stem}")]
