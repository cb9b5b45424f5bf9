"""Files of one graph each: their format, their tensors and the files that belong to them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edge_sam.bundles.bundle import GRAPH_FILES, file_sha256
from edge_sam.bundles.contract import Role
from edge_sam.bundles.external_data import weights_beside
from edge_sam.bundles.manifest import Companion, Component, TensorSpec
from edge_sam.errors import InputError, one_line
from edge_sam.runtimes import RuntimeUnavailableError, Session, SessionOptions, backend
from edge_sam.runtimes.onnxruntime_session import CPU, open_inference_session
from edge_sam.runtimes.openvino_device import read_ports

RUNTIMES = {"onnx": "onnxruntime", "ort": "onnxruntime", "openvino": "openvino"}
"""The runtime that checks a format."""


def read_component(role: Role, path: Path) -> Component:
    """Read what a file holds.

    Raises
    ------
    InputError
        It is missing or damaged, of another format, or its tensors are of a type that is not supported.
    """
    format, inputs, outputs = read_tensors(path)
    _, *beside = files_of(path)
    weights = beside[0] if beside else None
    return Component(
        role,
        "fp16" if any(tensor.dtype == "float16" for tensor in inputs) else "fp32",
        format,
        path.name,
        file_sha256(path),
        path.stat().st_size,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        companion=None if weights is None else Companion(weights.name, file_sha256(weights), weights.stat().st_size),
    )


def read_tensors(path: Path) -> tuple[str, list[TensorSpec], list[TensorSpec]]:
    """Return the format, the inputs and the outputs of a file; see `read_component` for what is raised."""
    files_of(path)
    format = _format(path)
    return format, *_tensors(path, format)


def files_of(path: Path) -> list[Path]:
    """Return a graph's file and, if it keeps its weights beside it, their file.

    Raises
    ------
    InputError
        A file is missing, empty, or of a format that cannot be imported.
    """
    try:
        weights = _companion(path, _format(path))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    return [path] if weights is None else [path, weights]


def _format(path: Path) -> str:
    if path.is_dir():
        raise InputError(f"cannot read {path}: it is a folder; give a file of {', '.join(GRAPH_FILES)}")
    if not path.is_file():
        raise InputError(f"cannot read {path}: there is no such file")
    format = GRAPH_FILES.get(path.suffix.lower())
    if format is None:
        raise InputError(f"{path} cannot be imported; give a file of {', '.join(GRAPH_FILES)}")
    if not path.stat().st_size:
        raise InputError(f"{path} is empty")
    return format


def open_graph(path: Path, format: str) -> Session:
    """Open a file with the runtime that checks its format."""
    return backend(RUNTIMES[format]).open_session(path, SessionOptions())


def _tensors(path: Path, format: str) -> tuple[list[TensorSpec], list[TensorSpec]]:
    try:
        if format == "openvino":
            return _openvino_tensors(path)
        session = open_inference_session(path, SessionOptions(), [(CPU, {})])
    except RuntimeUnavailableError as error:
        raise InputError(_reason(path, format, one_line(error))) from error
    return [_of_onnx(path, each) for each in session.get_inputs()], [
        _of_onnx(path, each) for each in session.get_outputs()
    ]


def _reason(path: Path, format: str, text: str) -> str:
    """Say what is wrong with a file, from the words of ONNX Runtime, which repeat the file's name."""
    words = text.lower().replace(path.name.lower(), "")
    if format == "ort":
        return f"{path} is not an ORT model that the installed ONNX Runtime reads, or it is damaged"
    for word, meaning in (
        ("invalid_protobuf", "is not an ONNX model, or it is damaged"),
        ("opset", "has an opset that the installed ONNX Runtime does not know; export it again with opset 17"),
        ("ir version", "is of a newer version of ONNX; upgrade with: pip install -U onnxruntime"),
    ):
        if word in words:
            return f"{path} {meaning}"
    return f"{path} cannot be opened: {text}"


def _of_onnx(path: Path, tensor: Any) -> TensorSpec:
    kind = tensor.type.removeprefix("tensor(").removesuffix(")")
    return _spec(path, tensor.name, {"float": "float32", "double": "float64"}.get(kind, kind), tensor.shape)


def _openvino_tensors(path: Path) -> tuple[list[TensorSpec], list[TensorSpec]]:
    reason = backend("openvino").why_unusable("")
    if reason is not None:
        raise InputError(f"{path} needs OpenVINO: {reason}")
    try:
        ports = read_ports(path)
    except RuntimeError as error:
        raise InputError(f"{path} is not an OpenVINO model, or its .bin is missing: {one_line(error)}") from error
    inputs, outputs = ([_spec(path, *port) for port in each] for each in ports)
    return inputs, outputs


def _spec(path: Path, name: str, kind: str, shape: Iterable[int | str | None]) -> TensorSpec:
    if kind not in ("float32", "float16", "float64", "uint8", "int32", "int64", "bool"):
        raise InputError(f"{path}: the tensor {name} is {kind}, which is not supported")
    return TensorSpec(name, kind, tuple("?" if size is None else size for size in shape))


def _companion(path: Path, format: str) -> Path | None:
    """Return the file of weights beside a graph, if it has one."""
    try:
        names = weights_beside(path, format)
    except ValueError as error:
        raise InputError(f"{path} is not an ONNX model, or it is damaged: {error}") from error
    if len(names) > 1:
        raise InputError(f"{path} keeps its weights in {len(names)} files; save it with one file of weights")
    weights = path.parent / names.pop() if names else None
    if weights is not None and (weights.parent != path.parent or not weights.is_file()):
        raise InputError(f"{path} keeps its weights in {weights}, which must lie beside it")
    return weights
