"""SmoothQuant: move outlier channels from activations into weights, so that int8 steps are finer."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from edge_sam.bundles.graph_weights import without_weights
from edge_sam.quantize.graph import Constants, Layer, attributes, consumers, layers, rebuilt
from edge_sam.quantize.observers import ActivationStatistics

_STRENGTH = 0.8
"""Migration strength, the paper's α: 0 leaves activations unchanged, 1 moves all of the difference into the weights."""
_LEAST, _MOST = 1e-5, 100.0
"""Smallest magnitude of a channel, and the largest scale."""
_LAYOUT = {"Reshape", "Slice", "Squeeze", "Unsqueeze"}
"""Operators that keep all values and, in these graphs, keep channels on the last axis."""


def smooth(
    model: ModelProto, statistics: Mapping[str, ActivationStatistics], integer: Collection[str]
) -> tuple[ModelProto, dict[str, ActivationStatistics]]:
    """Divide the output of each LayerNorm by a scale for each channel, and multiply the following weights by it.

    The scale is folded into the LayerNorm's weight and bias, so the graph computes the same at no cost.
    Guangxuan Xiao et al., "SmoothQuant", ICML 2023, arXiv 2211.10438, equation 4.

    Parameters
    ----------
    model : ModelProto
        The float graph, which is not changed.
    statistics : mapping of str to ActivationStatistics
        Statistics of each layer input.
    integer : collection of str
        Blocks whose matrix products will compute in int8. A LayerNorm is only changed if all consumers of its output
        are in these blocks.

    Returns
    -------
    ModelProto, dict of str to ActivationStatistics
        The graph, and the statistics of its layer inputs.
    """
    smoothed = dict(statistics)
    nodes = without_weights(model).graph.node
    named = {node.name: node for node in nodes}
    arrays: list[TensorProto] = []

    def replace(node: NodeProto, index: int, array: NDArray[np.float32]) -> None:
        name = f"{node.name}.smooth{index}"
        arrays.append(numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name))
        named[node.name].input[index] = name

    for norm, parameters, consuming in _norms(model, integer):
        names = {layer.node.input[0] for layer in consuming}
        scale = _scale([smoothed[name] for name in names], consuming)
        for index, parameter in enumerate(parameters, start=1):
            replace(norm, index, parameter / scale)
        for layer in consuming:
            replace(layer.node, 1, layer.weight * scale[:, None])
        smoothed |= {name: smoothed[name].divided(scale) for name in names}
    return rebuilt(model, nodes, arrays), smoothed


def _norms(
    model: ModelProto, integer: Collection[str]
) -> Iterator[tuple[NodeProto, list[NDArray[np.float32]], list[Layer]]]:
    """Yield each LayerNorm whose output only feeds int8 products, its weight and bias, and these products."""
    constants, users = Constants(model), consumers(model)
    outputs = {output.name for output in model.graph.output}
    products = {
        each.node.name: each for each in layers(model) if each.block in integer and each.node.op_type == "MatMul"
    }
    for norm in model.graph.node:
        if norm.op_type != "LayerNormalization":
            continue
        consuming = [node and products.get(node.name) for node in _consuming(norm.output[0], users, constants, outputs)]
        found = [layer for layer in consuming if layer is not None]
        parameters = [value for name in norm.input[1:] if (value := constants.value(name)) is not None]
        if found and len(found) == len(consuming) and len(parameters) == 2:
            yield norm, parameters, found


def _consuming(
    name: str, users: Mapping[str, Sequence[NodeProto]], constants: Constants, outputs: Collection[str]
) -> Iterator[NodeProto | None]:
    """Yield the nodes that compute with a tensor, through changes of layout; None for a graph output."""
    if name in outputs:
        yield None
    for node in users.get(name, ()):
        if node.input[0] == name and _is_layout(node, constants):
            yield from _consuming(node.output[0], users, constants, outputs)
        elif node.op_type != "Shape":
            yield node


def _is_layout(node: NodeProto, constants: Constants) -> bool:
    """Tell whether a node keeps all values, adds only zeros, and keeps channels on the last axis."""
    if node.op_type == "Pad":
        filling = "".join(node.input[2:3])
        value = constants.value(filling)
        return not filling or (value is not None and not value.any())
    if node.op_type == "Transpose":
        order = attributes(node).get("perm", [0])
        return bool(order[-1] == len(order) - 1 > 0)
    return node.op_type in _LAYOUT


def _scale(statistics: Collection[ActivationStatistics], found: Collection[Layer]) -> NDArray[np.float32]:
    """Return the divisor of each channel, (channels,), with a geometric mean of 1."""
    activation = np.max([np.maximum(-each.low, each.high) for each in statistics], axis=0)
    weight = np.max([np.abs(layer.weight).max(axis=1) for layer in found], axis=0)
    scale = np.maximum(activation, _LEAST) ** _STRENGTH / np.maximum(weight, _LEAST) ** (1 - _STRENGTH)
    return np.asarray((scale / np.exp(np.log(scale).mean())).clip(1 / _MOST, _MOST), dtype=np.float32)
