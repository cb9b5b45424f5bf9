"""Inspect and edit ONNX graphs: constants, layers with weights, and removal of unused nodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper

from edge_sam.bundles.blocks import OUTSIDE, block_of
from edge_sam.bundles.graph_weights import array_of, without_weights

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
    source : str
        Name of the initializer that holds the weights.
    transposed : bool
        Whether the initializer is (outputs, inputs).
    bias : str, optional
        Name of the bias of a ``Gemm``.
    constants : Constants
        Of the graph.
    """

    node: NodeProto
    source: str
    transposed: bool
    bias: str | None
    constants: Constants

    @property
    def weight(self) -> NDArray[np.float32]:
        """The weights as the product uses them, (inputs, outputs). Read each time: together they may be gigabytes."""
        weight = self.constants.value(self.node.input[1])
        assert weight is not None
        return np.ascontiguousarray(weight.T if _transposes(self.node) else weight, dtype=np.float32)

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
        found = self._origin(name)
        if found is None:
            return None
        tensor, changes = found
        array = array_of(tensor)
        for node in changes:
            given = attributes(node)
            if node.op_type == "Cast":
                array = array.astype(helper.tensor_dtype_to_np_dtype(given["to"]))
            else:
                array = array.transpose(given.get("perm"))
        return array

    def matrix(self, name: str) -> tuple[TensorProto, bool] | None:
        """Return the tensor behind a constant matrix, and whether the graph transposes it. None for other tensors."""
        found = self._origin(name)
        if found is None or len(found[0].dims) != 2:
            return None
        return found[0], sum(node.op_type == "Transpose" for node in found[1]) % 2 == 1

    def _origin(self, name: str) -> tuple[TensorProto, list[NodeProto]] | None:
        """Return the tensor that a constant is made of, and the casts and transpositions of it in their order."""
        changes: list[NodeProto] = []
        while name not in self._arrays:
            node = self._makers.get(name)
            if node is None:
                return None
            if node.op_type == "Constant" and "value" in attributes(node):
                return attributes(node)["value"], changes[::-1]
            if node.op_type not in ("Cast", "Transpose"):
                return None
            changes.append(node)
            name = node.input[0]
        return self._arrays[name], changes[::-1]


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
        matrix = constants.matrix(node.input[1])
        if matrix is None or np.prod(matrix[0].dims) < LARGE:
            continue
        given = attributes(node)
        if given.get("transA", 0) or given.get("alpha", 1.0) != 1 or given.get("beta", 1.0) != 1:
            continue  # Only a Gemm that equals a MatMul and an Add is supported.
        tensor, transposed = matrix
        bias = node.input[2] if len(node.input) > 2 else None
        found.append(Layer(node, tensor.name, transposed != _transposes(node), bias, constants))
    return found


def _transposes(product: NodeProto) -> bool:
    """Tell whether a product transposes its weights itself."""
    return bool(product.op_type == "Gemm" and attributes(product).get("transB", 0))


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


def rebuilt(model: ModelProto, nodes: Sequence[NodeProto], arrays: Iterable[TensorProto] = ()) -> ModelProto:
    """Return a graph's inputs and outputs with other nodes between them.

    Parameters
    ----------
    model : ModelProto
        The graph, which is not changed. Its initializers stay, except for those that a node makes now.
    nodes : sequence of NodeProto
        The nodes in topological order.
    arrays : iterable of TensorProto
        Further initializers.

    Returns
    -------
    ModelProto
        Without the nodes and initializers that no output depends on.
    """
    needed = {output.name for output in model.graph.output}
    kept: list[NodeProto] = []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            needed.update(inputs(node))
            kept.append(node)
    needed -= {output for node in kept for output in node.output}
    made = without_weights(model)
    del made.graph.node[:], made.graph.value_info[:]
    made.graph.node.extend(reversed(kept))
    made.graph.initializer.extend(each for each in chain(model.graph.initializer, arrays) if each.name in needed)
    return made
