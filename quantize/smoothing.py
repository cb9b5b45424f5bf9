"""Taking outliers from the channels of normalised activations, so that int8 steps over them are finer."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, numpy_helper

from edge_sam.quantize.graph import Constants, Layer, attributes, consumers, layers, prune
from edge_sam.quantize.observers import Seen

_STRENGTH = 0.8
"""How much of the difference between channels goes into the weights: 0 none, 1 all; the paper's α."""
_LEAST, _MOST = 1e-5, 100.0
"""Smallest extreme of a channel that is believed, and the largest scale."""
_LAYOUT = {"Reshape", "Slice", "Squeeze", "Unsqueeze"}
"""Operators that leave every number what it is and, in these graphs, channels on the last axis."""


def smooth(model: ModelProto, seen: Mapping[str, Seen], integer: Collection[str]) -> tuple[ModelProto, dict[str, Seen]]:
    """Divide what a LayerNorm makes, channel by channel, and multiply the weights that take it; nothing else changes.

    The scale goes into the LayerNorm's own weight and bias, so the graph computes the same at the same price.
    Guangxuan Xiao et al., "SmoothQuant", ICML 2023, arXiv 2211.10438, equation 4.

    Parameters
    ----------
    model : ModelProto
        The float graph; it is not changed.
    seen : mapping of str to Seen
        What was seen of each activation that a layer takes.
    integer : collection of str
        Blocks whose matrix products will compute in int8. A LayerNorm is only changed when all that takes its output
        is among them.

    Returns
    -------
    ModelProto, dict of str to Seen
        The graph, and what would have been seen of it.
    """
    changed = ModelProto()
    changed.CopyFrom(model)
    smoothed = dict(seen)
    for norm, parameters, takers in _norms(changed, integer):
        names = {layer.node.input[0] for layer in takers}
        scale = _scale([smoothed[name] for name in names], takers)
        for index, parameter in enumerate(parameters, start=1):
            _replace(changed, norm, index, parameter / scale)
        for layer in takers:
            _replace(changed, layer.node, 1, layer.weight * scale[:, None])
        smoothed |= {name: smoothed[name].divided(scale) for name in names}
    prune(changed)
    return changed, smoothed


def _norms(
    model: ModelProto, integer: Collection[str]
) -> Iterator[tuple[NodeProto, list[NDArray[np.float32]], list[Layer]]]:
    """Find each LayerNorm whose output only goes into int8 products: its weight and bias, and those layers."""
    constants, users = Constants(model), consumers(model)
    outputs = {output.name for output in model.graph.output}
    products = {
        each.node.name: each for each in layers(model) if each.block in integer and each.node.op_type == "MatMul"
    }
    for norm in list(model.graph.node):
        if norm.op_type != "LayerNormalization":
            continue
        takers = [node and products.get(node.name) for node in _takers(norm.output[0], users, constants, outputs)]
        found = [layer for layer in takers if layer is not None]
        parameters = [value for name in norm.input[1:] if (value := constants.value(name)) is not None]
        if found and len(found) == len(takers) and len(parameters) == 2:
            yield norm, parameters, found


def _takers(
    name: str, users: Mapping[str, Sequence[NodeProto]], constants: Constants, outputs: Collection[str]
) -> Iterator[NodeProto | None]:
    """Nodes that compute with a tensor, however it is laid out on the way; None for whoever runs the graph."""
    if name in outputs:
        yield None
    for node in users.get(name, ()):
        if node.input[0] == name and _is_layout(node, constants):
            yield from _takers(node.output[0], users, constants, outputs)
        elif node.op_type != "Shape":
            yield node


def _is_layout(node: NodeProto, constants: Constants) -> bool:
    """Whether a node leaves numbers what they are, adds none but 0, and leaves channels on the last axis."""
    if node.op_type == "Pad":
        filling = "".join(node.input[2:3])
        value = constants.value(filling)
        return not filling or (value is not None and not value.any())
    if node.op_type == "Transpose":
        order = attributes(node).get("perm", [0])
        return bool(order[-1] == len(order) - 1 > 0)
    return node.op_type in _LAYOUT


def _scale(seen: Collection[Seen], found: Collection[Layer]) -> NDArray[np.float32]:
    """By how much each channel is divided, (channels,); 1 in the geometric mean."""
    activation = np.max([np.maximum(-each.low, each.high) for each in seen], axis=0)
    weight = np.max([np.abs(layer.weight).max(axis=1) for layer in found], axis=0)
    scale = np.maximum(activation, _LEAST) ** _STRENGTH / np.maximum(weight, _LEAST) ** (1 - _STRENGTH)
    return np.asarray((scale / np.exp(np.log(scale).mean())).clip(1 / _MOST, _MOST), dtype=np.float32)


def _replace(model: ModelProto, node: NodeProto, index: int, array: NDArray[np.float32]) -> None:
    name = f"{node.name}.smooth{index}"
    model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name))
    node.input[index] = name
