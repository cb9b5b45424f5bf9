"""Looking at an ONNX graph and changing it: constants, layers with weights, and what nobody uses any more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edge_sam.bundles.blocks import OUTSIDE, block_of

FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)
LARGE = 1024
"""Arrays with fewer numbers are left as they are: nothing is gained, and norms and biases are among them."""


@dataclass(frozen=True)
class Layer:
    """A matrix product with a constant matrix.

    Attributes
    ----------
    node : NodeProto
        ``MatMul`` or ``Gemm``.
    weight : ndarray of float32, (inputs, outputs)
        The matrix, as it multiplies.
    source : str
        Name of the array that the matrix is made from.
    turned : bool
        Whether that is (outputs, inputs).
    bias : str, optional
        Name of the tensor that a ``Gemm`` adds.
    """

    node: NodeProto
    weight: NDArray[np.float32]
    source: str
    turned: bool
    bias: str | None = None

    @property
    def block(self) -> str:
        """The block of the model that it belongs to, as `edge-sam bench --per-op` names it."""
        return block_of(self.node.name) or OUTSIDE


class Constants:
    """What is known of a graph's tensors before it runs."""

    def __init__(self, model: ModelProto) -> None:
        self._arrays = {initializer.name: initializer for initializer in model.graph.initializer}
        self._makers = producers(model)

    def value(self, name: str) -> NDArray[Any] | None:
        """Compute a constant: an initializer, or one through casts and transpositions. None where it is none."""
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
        """Name the array that a constant matrix is made from, and tell whether it was transposed on the way."""
        turned = False
        while name not in self._arrays and self._makers[name].op_type in ("Cast", "Transpose"):
            turned ^= self._makers[name].op_type == "Transpose"
            name = self._makers[name].input[0]
        return name, turned


def producers(model: ModelProto) -> dict[str, NodeProto]:
    """Nodes by the tensors that they make."""
    return {output: node for node in model.graph.node for output in node.output}


def consumers(model: ModelProto) -> dict[str, list[NodeProto]]:
    """Nodes by the tensors that they take."""
    users: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        for name in dict.fromkeys(inputs(node)):
            users.setdefault(name, []).append(node)
    return users


def inputs(node: NodeProto) -> Iterator[str]:
    """Tensors that a node takes; the bodies of its branches and loops may take any of the graph around them."""
    yield from node.input
    for attribute in node.attribute:
        for body in (attribute.g, *attribute.graphs):
            yield from (output.name for output in body.output)
            for inner in body.node:
                yield from inputs(inner)


def attributes(node: NodeProto) -> dict[str, Any]:
    """Attributes of a node by name."""
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def layers(model: ModelProto) -> list[Layer]:
    """List the matrix products with a constant matrix that is worth the trouble, in the graph's order."""
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
            continue  # Attributes of a Gemm; the rest of it is a MatMul and an Add.
        # A Gemm may turn its matrix by itself.
        turns = bool(node.op_type == "Gemm" and given.get("transB", 0))
        weight = weight.T if turns else weight
        source, turned = constants.source(node.input[1])
        bias = node.input[2] if len(node.input) > 2 else None
        found.append(Layer(node, np.ascontiguousarray(weight, dtype=np.float32), source, turned != turns, bias))
    return found


def weight_blocks(model: ModelProto) -> dict[str, str]:
    """Tell which block uses each large float matrix, through the casts and transpositions between."""
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


def prune(model: ModelProto) -> None:
    """Take out the nodes and arrays that no output depends on."""
    needed = {output.name for output in model.graph.output}
    kept = []
    for node in reversed(model.graph.node):  # Nodes come after those that they depend on.
        if needed.intersection(node.output):
            needed.update(inputs(node))
            kept.append(node)
    arrays = [initializer for initializer in model.graph.initializer if initializer.name in needed]
    del model.graph.node[:], model.graph.initializer[:], model.graph.value_info[:]
    model.graph.node.extend(reversed(kept))
    model.graph.initializer.extend(arrays)
