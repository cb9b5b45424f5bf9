"""Typed fp16: weights and activations in half precision, but for the parts that need more.

For CUDA and TensorRT, whose current versions take the precision from the file. Inputs and outputs stay float32, so the
runtime's code is the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, shape_inference

from edge_sam.quantize.graph import FLOATS, producers

EXACT_OPERATORS = ("LayerNormalization", "Softmax")
"""Sums of many squares or exponentials; the squares of TinyViT's activations overflow fp16."""
PERIODIC = ("Sin", "Cos")
"""What leads to them are positions and phases, of which fp16 would lose whole pixels."""
LARGEST = float(np.finfo(np.float16).max)


class TypedGraphWriter:
    """Writes a graph's nodes anew and hands out every tensor in the type that its user wants."""

    def __init__(self, model: ModelProto) -> None:
        self.nodes: list[NodeProto] = []
        self.arrays: dict[str, NDArray[Any]] = {}
        self._types = _float_tensors(model)
        self._constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}

    def is_float(self, name: str) -> bool:
        """Tell whether a tensor is float32 or fp16 in the given model."""
        return name in self._types

    def made(self, name: str, kind: int) -> None:
        """Say that a tensor now has another type."""
        self._types[name] = kind

    def constant(self, name: str, array: NDArray[Any]) -> None:
        """Take an array in the place of the node that made it."""
        self._constants[name] = array

    def get(self, name: str, kind: int) -> str:
        """Name a tensor's value in a type; it is cast, once, where it has another."""
        if name in self._constants:
            return self._array(name, kind)
        if not self.is_float(name) or self._types[name] == kind:
            return name
        cast = f"{name}.{'half' if kind == TensorProto.FLOAT16 else 'single'}"
        if cast not in self._types:
            self.nodes.append(helper.make_node("Cast", [name], [cast], name=f"{cast}.cast", to=kind))
            self._types[cast] = kind
        return cast

    def _array(self, name: str, kind: int) -> str:
        array = self._constants[name]
        if array.dtype.kind != "f":
            self.arrays[name] = array
            return name
        half = kind == TensorProto.FLOAT16
        typed = f"{name}.{'half' if half else 'single'}"
        self.arrays[typed] = array.clip(-LARGEST, LARGEST).astype(np.float16) if half else array.astype(np.float32)
        return typed


def to_half(model: ModelProto) -> ModelProto:
    """Write a float graph in fp16.

    Parameters
    ----------
    model : ModelProto
        In float32, its weights stored as float32 or fp16; it is not changed.

    Returns
    -------
    ModelProto
        The same inputs and outputs in float32, standard operators only.
    """
    exact = exact_nodes(model)
    typist = TypedGraphWriter(model)
    folded = _stored_weights(model)
    for node in model.graph.node:
        if node.output[0] in folded:
            typist.constant(node.output[0], folded[node.output[0]])
        elif node.op_type == "Constant" and typist.is_float(node.output[0]):
            typist.constant(node.output[0], numpy_helper.to_array(node.attribute[0].t))
        else:
            _write(node, typist, TensorProto.FLOAT if node.name in exact else TensorProto.FLOAT16)
    for output in model.graph.output:
        _return_single(output.name, typist)
    changed = ModelProto()
    changed.CopyFrom(model)
    del changed.graph.node[:], changed.graph.initializer[:], changed.graph.value_info[:]
    changed.graph.node.extend(typist.nodes)
    changed.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in typist.arrays.items())
    return changed


def exact_nodes(model: ModelProto) -> set[str]:
    """Name the nodes that must compute in float32: statistics, attention scores and softmax, positions."""
    made_by = producers(model)
    exact = set()
    for node in model.graph.node:
        if node.op_type in EXACT_OPERATORS:
            exact.add(node.name)
        if node.op_type == "Softmax":
            exact.update(_scores(node, made_by))
        if node.op_type in PERIODIC:
            exact.update(_ancestors(node, made_by))
    return exact


def with_explicit_rounding(half: ModelProto) -> ModelProto:
    """Write a typed graph so that ONNX Runtime's CPU kernels round as fp16 hardware does.

    The CPU provider has few kernels for fp16: it computes chains of such nodes in float32 and rounds nothing between
    them, so what overflows on a GPU passes unseen. Here each node computes in float32 and its result is rounded.

    Parameters
    ----------
    half : ModelProto
        From `to_half`; it is not changed.

    Returns
    -------
    ModelProto
        Slow, with the results of kernels that sum in float32 and store fp16.
    """
    floats = _float_tensors(half)
    changed = ModelProto()
    changed.CopyFrom(half)
    del changed.graph.node[:]
    for node in half.graph.node:
        if node.op_type == "Cast" or floats.get(node.output[0]) != TensorProto.FLOAT16:
            changed.graph.node.append(node)
            continue
        copy = NodeProto()
        copy.CopyFrom(node)
        for i, name in enumerate(node.input):
            if floats.get(name) == TensorProto.FLOAT16:
                copy.input[i] = f"{node.name}.{i}.wide"
                changed.graph.node.append(helper.make_node("Cast", [name], [copy.input[i]], to=TensorProto.FLOAT))
        copy.output[0] = f"{node.output[0]}.wide"
        _set_type(copy, TensorProto.FLOAT)
        rounding = helper.make_node("Cast", [copy.output[0]], [node.output[0]], to=TensorProto.FLOAT16)
        changed.graph.node.extend([copy, rounding])
    return changed


def _write(node: NodeProto, typist: TypedGraphWriter, kind: int) -> None:
    copy = NodeProto()
    copy.CopyFrom(node)
    if node.op_type == "Cast":  # Takes any type.
        copy.input[0] = typist.get(node.input[0], TensorProto.FLOAT)
    else:
        for i, name in enumerate(node.input):
            copy.input[i] = typist.get(name, kind)
    for name in node.output:
        if typist.is_float(name):
            typist.made(name, kind)
            _set_type(copy, kind)
    typist.nodes.append(copy)


def _set_type(node: NodeProto, kind: int) -> None:
    """Give a type to what a node makes, where that is written in its attributes."""
    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.name == "to":
            attribute.i = kind
        if node.op_type == "ConstantOfShape" and attribute.name == "value":
            dtype = helper.tensor_dtype_to_np_dtype(kind)
            attribute.t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(attribute.t).astype(dtype)))


def _return_single(name: str, typist: TypedGraphWriter) -> None:
    """Rename a graph's output that has become fp16, and cast it to the name it had."""
    single = typist.get(name, TensorProto.FLOAT)
    if single == name:
        return
    inner = f"{name}.half"
    for node in typist.nodes:
        for names in (node.input, node.output):
            for i, given in enumerate(names):
                if given in (name, single):
                    names[i] = inner if given == name else name


def _stored_weights(model: ModelProto) -> dict[str, NDArray[Any]]:
    """Arrays that the graph keeps in fp16 and casts before it uses them, by the name of what the cast gives."""
    arrays = {each.name: each for each in model.graph.initializer if each.data_type == TensorProto.FLOAT16}
    casts = (node for node in model.graph.node if node.op_type == "Cast" and node.input[0] in arrays)
    return {node.output[0]: numpy_helper.to_array(arrays[node.input[0]]) for node in casts}


def _float_tensors(model: ModelProto) -> dict[str, int]:
    """Types of the tensors that a graph computes in float32 or fp16."""
    graph = shape_inference.infer_shapes(model).graph
    values = (*graph.input, *graph.output, *graph.value_info)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    types |= {each.name: each.data_type for each in graph.initializer}
    return {name: kind for name, kind in types.items() if kind in FLOATS}


def _scores(softmax: NodeProto, made_by: dict[str, NodeProto]) -> Iterable[str]:
    """Walk from a softmax back to the product of queries and keys, which it is the last of."""
    node: NodeProto | None = softmax
    while node is not None:
        yield node.name
        node = None if node.op_type == "MatMul" else made_by.get(node.input[0])


def _ancestors(node: NodeProto, made_by: dict[str, NodeProto]) -> set[str]:
    """Name a node and all that it depends on."""
    found: set[str] = set()
    todo = [node]
    while todo:
        each = todo.pop()
        if each.name not in found:
            found.add(each.name)
            todo.extend(made_by[name] for name in each.input if name in made_by)
    return found
