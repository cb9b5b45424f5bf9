"""Inspect and edit ONNX graphs: constants, layers with weights, and removal of unused nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edge_sam.bundles.blocks import OUTSIDE, block_of

FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)
LARGE = 1024
"""Smaller arrays, such as norms and biases, are not quantised because that would save nothing."""


@dataclass(frozen=True)
class Layer:
    """A matrix product with constant weights.

    Attributes
    ----------
    node : NodeProto
        ``MatMul`` or ``Gemm``.
    weight : ndarray of float32, (inputs, outputs)
        The weights as the product uses them.
    source : str
        Name of the initializer that holds the weights.
    transposed : bool
        Whether the initializer is (outputs, inputs).
    bias : str, optional
        Name of the bias of a ``Gemm``.
    """

    node: NodeProto
    weight: NDArray[np.float32]
    source: str
    transposed: bool
    bias: str | None = None

    @property
    def block(self) -> str:
        """The model block of the layer, named as in `edge-sam bench --per-op`."""
        return block_of(self.node.name) or OUTSIDE


class Constants:
    """Values of a graph's tensors that do not depend on its inputs."""

    def __init__(self, model: ModelProto) -> None:
        self._arrays = {initializer.name: initializer for initializer in model.graph.initializer}
        self._makers = producers(model)

    def value(self, name: str) -> NDArray[Any] | None:
        """Return a constant: an initializer, cast and transposed as the graph does. None for other tensors."""
        if name in self._arrays:
            return numpy_helper.to_array(self._arrays[name])
        node = self._makers.get(name)
        if node is None:
            return None
        given = attributes(node)
        if node.op_type == "Constant" and "value" in given:
            return numpy_helper.to_array(given["value"])
        if node.op_type not in ("Cast", "Transpose"):
            return None
        array = self.value(node.input[0])
        if array is None:
            return None
        if node.op_type == "Cast":
            return array.astype(helper.tensor_dtype_to_np_dtype(given["to"]))
        return array.transpose(given.get("perm"))

    def source(self, name: str) -> tuple[str, bool]:
        """Return the name of the initializer behind a constant matrix, and whether the graph transposes it."""
        transposed = False
        while name not in self._arrays and self._makers[name].op_type in ("Cast", "Transpose"):
            transposed ^= self._makers[name].op_type == "Transpose"
            name = self._makers[name].input[0]
        return name, transposed


def producers(model: ModelProto) -> dict[str, NodeProto]:
    """Map each tensor to the node that produces it."""
    return {output: node for node in model.graph.node for output in node.output}


def consumers(model: ModelProto) -> dict[str, list[NodeProto]]:
    """Map each tensor to the nodes that consume it."""
    users: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        for name in dict.fromkeys(inputs(node)):
            users.setdefault(name, []).append(node)
    return users


def inputs(node: NodeProto) -> Iterator[str]:
    """Yield the tensors that a node consumes, including those of the outer graph that its subgraphs use."""
    yield from node.input
    for attribute in node.attribute:
        for body in (attribute.g, *attribute.graphs):
            yield from (output.name for output in body.output)
            for inner in body.node:
                yield from inputs(inner)


def attributes(node: NodeProto) -> dict[str, Any]:
    """Return the attributes of a node by name."""
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def layers(model: ModelProto) -> list[Layer]:
    """List the matrix products with constant weights that are worth quantising, in graph order."""
    constants = Constants(model)
    found = []
    for node in model.graph.node:
        if node.op_type not in ("MatMul", "Gemm"):
            continue
        weight = constants.value(node.input[1])
        if weight is None or weight.ndim != 2 or weight.size < LARGE:
            continue
        given = attributes(node)
        if given.get("transA", 0) or given.get("alpha", 1.0) != 1 or given.get("beta", 1.0) != 1:
            continue  # Only a Gemm that equals a MatMul and an Add is supported.
        gemm_transposes = bool(node.op_type == "Gemm" and given.get("transB", 0))
        weight = weight.T if gemm_transposes else weight
        source, transposed = constants.source(node.input[1])
        bias = node.input[2] if len(node.input) > 2 else None
        weight = np.ascontiguousarray(weight, dtype=np.float32)
        found.append(Layer(node, weight, source, transposed != gemm_transposes, bias))
    return found


def weight_blocks(model: ModelProto) -> dict[str, str]:
    """Map each large float initializer to the block that uses it, through casts and transpositions."""
    users = {name: nodes[0] for name, nodes in consumers(model).items()}
    blocks = {}
    for initializer in model.graph.initializer:
        if initializer.data_type not in FLOATS or len(initializer.dims) < 2 or np.prod(initializer.dims) < LARGE:
            continue
        node = users[initializer.name]
        while node.op_type in ("Cast", "Transpose"):
            node = users[node.output[0]]
        blocks[initializer.name] = block_of(node.name) or OUTSIDE
    return blocks


def sort_nodes(model: ModelProto) -> None:
    """Sort the nodes topologically, as ONNX requires."""
    nodes = list(model.graph.node)
    made_by = {output: i for i, node in enumerate(nodes) for output in node.output}
    needs = {i: [made_by[name] for name in inputs(node) if name in made_by] for i, node in enumerate(nodes)}
    del model.graph.node[:]
    model.graph.node.extend(nodes[i] for i in TopologicalSorter(needs).static_order())


def prune(model: ModelProto) -> None:
    """Remove the nodes and initializers that no output depends on."""
    needed = {output.name for output in model.graph.output}
    kept = []
    for node in reversed(model.graph.node):  # The graph is in topological order.
        if needed.intersection(node.output):
            needed.update(inputs(node))
            kept.append(node)
    arrays = [initializer for initializer in model.graph.initializer if initializer.name in needed]
    del model.graph.node[:], model.graph.initializer[:], model.graph.value_info[:]
    model.graph.node.extend(reversed(kept))
    model.graph.initializer.extend(arrays)
