"""Read the weights inside ``.onnx`` and ``.ort`` files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_sam.errors import InputError, one_line
from edge_sam.runtimes import REFERENCE, backend

SUFFIXES = (".onnx", ".ort")
_MOST_DIMENSIONS = 8
_ORT_DTYPES = {onnx.TensorProto.FLOAT: np.float32, onnx.TensorProto.FLOAT16: np.float16}
_Node = tuple[str, str, list[str]]
"""Operator, name and names of the inputs."""


def read_graph(path: Path) -> dict[str, NDArray[Any]]:
    """Read the floating-point weights of a graph.

    Parameters
    ----------
    path : Path
        A file of one of `SUFFIXES`.

    Returns
    -------
    dict of str to ndarray
        Each weight under its own name. If torch's exporter made up the name (``onnx::MatMul_1998``), the weight is
        under the operator and name of the node that reads it (``MatMul /transformer/layers.0/mlp/layers.0/MatMul``).

    Raises
    ------
    InputError
        The file is damaged or of another kind, or keeps its weights in other files.
    OSError
        It cannot be read.
    """
    data = path.read_bytes()
    try:
        weights, nodes = _ort_contents(data) if path.suffix == ".ort" else _onnx_contents(data)
        readers = {name: f"{operator} {node}" for operator, node, inputs in reversed(nodes) for name in inputs}
        return {readers.get(n, n) if n.startswith("onnx::") else n: weight for n, weight in weights}
    except Exception as error:  # protobuf and flatbuffers raise a dozen unrelated classes for damaged files.
        raise InputError(f"{path} is not a readable {path.suffix} file, or it is damaged: {one_line(error)}") from error


def _onnx_contents(data: bytes) -> tuple[list[tuple[str, NDArray[Any]]], list[_Node]]:
    graph = onnx.load_model_from_string(data).graph
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in graph.initializer):
        raise ValueError("it keeps its weights in other files; save it with its weights inside")
    floats = (tensor for tensor in graph.initializer if tensor.data_type in _ORT_DTYPES)
    weights = [(tensor.name, onnx.numpy_helper.to_array(tensor)) for tensor in floats]
    return weights, [(node.op_type, node.name, list(node.input)) for node in graph.node]


def _ort_contents(data: bytes) -> tuple[list[tuple[str, NDArray[Any]]], list[_Node]]:
    """Read ONNX Runtime's own format, a flatbuffer."""
    backend(REFERENCE).load_package()  # Before any import of ONNX Runtime, because it turns telemetry off.
    from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs.InferenceSession import InferenceSession

    if not InferenceSession.InferenceSessionBufferHasIdentifier(data, 0):
        raise ValueError("it does not begin as one")
    graph = InferenceSession.GetRootAs(data, 0).Model().Graph()
    nodes = [
        (node.OpType().decode(), (node.Name() or b"").decode(), [text.decode() for text in _list(node, "Inputs")])
        for node in _list(graph, "Nodes")
    ]
    return list(_ort_weights(_list(graph, "Initializers"))), nodes


def _ort_weights(tensors: Iterable[Any]) -> Iterator[tuple[str, NDArray[Any]]]:
    for tensor in tensors:
        if tensor.DataType() in _ORT_DTYPES:
            if tensor.DimsLength() > _MOST_DIMENSIONS:  # A damaged file may claim billions.
                raise ValueError(f"a weight has {tensor.DimsLength()} dimensions")
            values = tensor.RawDataAsNumpy().view(_ORT_DTYPES[tensor.DataType()])
            yield tensor.Name().decode(), values.reshape(list(_list(tensor, "Dims")))


def _list(owner: Any, field: str) -> Iterator[Any]:
    """Yield the entries of a flatbuffer's vector."""
    return (getattr(owner, field)(i) for i in range(getattr(owner, f"{field}Length")()))
