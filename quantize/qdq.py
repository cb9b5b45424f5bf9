"""Static int8 in ONNX: QDQ around layers, and weights stored as int8."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edge_sam.bundles.graph_weights import array_of
from edge_sam.quantize.graph import Layer, layers, rebuilt, weight_blocks
from edge_sam.quantize.observers import ActivationRange, Range
from edge_sam.quantize.rounding import LIMIT, round_weights, weight_scale
from edge_sam.quantize.targets import KernelTarget


class QdqWriter:
    """Builds the nodes and arrays of the quantised graph."""

    def __init__(self, target: KernelTarget, observed: Mapping[str, ActivationRange]) -> None:
        self.nodes: list[NodeProto] = []
        self._target, self._observed = target, observed
        self.arrays: dict[str, NDArray[Any]] = {}
        self._quantised: set[str] = set()

    def activation(self, name: str) -> str:
        """Quantise an activation once for all layers that take it. Returns the name of the rounded tensor."""
        rounded = f"{name}.rounded"
        if name not in self._quantised:
            self._quantised.add(name)
            scale, zero = activation_grid(self._observed[name].range, self._target)
            self.arrays |= {f"{name}.scale": scale, f"{name}.zero": zero}
            grid = [f"{name}.scale", f"{name}.zero"]
            self._add("QuantizeLinear", [name, *grid], f"{name}.integer")
            self._add("DequantizeLinear", [f"{name}.integer", *grid], rounded)
        return rounded

    def layer(self, layer: Layer) -> None:
        """Write a layer with int8 operands, in the form that runtimes fuse into one integer product."""
        node, name = layer.node, layer.node.name
        integer, scale = self._rounded(layer, pairs=self._target.pairs)
        self.arrays |= {
            f"{name}.weight": integer,
            f"{name}.weight.scale": scale.ravel(),
            f"{name}.weight.zero": np.zeros(scale.size, np.int8),
        }
        parts = [f"{name}.weight", f"{name}.weight.scale", f"{name}.weight.zero"]
        rounded = self.activation(node.input[0])
        self._add("DequantizeLinear", parts, f"{name}.weight.rounded", axis=1)
        product = node.output[0] if layer.bias is None else f"{name}.product"
        self.nodes.append(helper.make_node("MatMul", [rounded, f"{name}.weight.rounded"], [product], name=name))
        if layer.bias is not None:
            self._add("Add", [product, layer.bias], node.output[0], name=f"{name}.bias")

    def stored(self, name: str, array: NDArray[np.float32], layer: Layer | None) -> None:
        """Store weights of a float layer as int8, with a cast and a multiplication that are folded on loading."""
        if layer is not None:
            integer, scale = self._rounded(layer, pairs=False)
            integer, scale = (integer.T, scale.T) if layer.transposed else (integer, scale)
        else:
            # Sum over all axes but the output axis; for stacked matrices that is the middle axis.
            summed = (1,) if array.ndim == 3 else tuple(range(1, array.ndim))
            scale = weight_scale(array, summed)
            integer = np.clip(np.rint(array / scale), -LIMIT, LIMIT).astype(np.int8)
        self.arrays |= {f"{name}.int8": np.ascontiguousarray(integer), f"{name}.scale": scale}
        self._add("Cast", [f"{name}.int8"], f"{name}.whole", to=TensorProto.FLOAT)
        self._add("Mul", [f"{name}.whole", f"{name}.scale"], name)

    def _rounded(self, layer: Layer, *, pairs: bool) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        scale = weight_scale(layer.weight, (0,), pairs=pairs)
        gram = self._observed[layer.node.input[0]].statistics.gram
        return round_weights(layer.weight, scale, gram, pairs=pairs), scale

    def halved(self, name: str, array: NDArray[np.float32]) -> None:
        """Store weights of a float layer as fp16."""
        self.arrays[f"{name}.half"] = array.astype(np.float16)
        self._add("Cast", [f"{name}.half"], name, to=TensorProto.FLOAT)

    def _add(self, kind: str, inputs: list[str], output: str, name: str | None = None, **given: Any) -> None:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=name or f"{output}.{kind}", **given))


def quantise(
    model: ModelProto,
    target: KernelTarget,
    observed: Mapping[str, ActivationRange],
    integer: Collection[str],
    stored: Collection[str],
) -> ModelProto:
    """Return a copy of a graph with some of its blocks in int8.

    Parameters
    ----------
    model : ModelProto
        The float graph; it is not changed.
    target : KernelTarget
        The integer format.
    observed : mapping of str to ActivationRange
        Range and statistics of each activation that a layer takes.
    integer : collection of str
        Blocks whose matrix products compute in int8 (see `layers`).
    stored : collection of str
        Blocks whose other large weights are stored as int8. All other large weights are stored as fp16.

    Returns
    -------
    ModelProto
    """
    chosen = {layer.node.name: layer for layer in layers(model) if layer.block in integer}
    writer = QdqWriter(target, observed)
    for node in model.graph.node:
        if node.name in chosen:
            writer.layer(chosen[node.name])
        else:
            writer.nodes.append(node)
    changed = rebuilt(model, writer.nodes)
    writer.nodes = []
    nodes = _store(changed, writer, stored)
    return rebuilt(changed, nodes, (numpy_helper.from_array(array, name) for name, array in writer.arrays.items()))


def activation_grid(limits: Range, target: KernelTarget) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Return scale and zero point, both scalars, for a range that is widened to include 0."""
    low, high = min(limits[0], 0.0), max(limits[1], 0.0)
    info = np.iinfo(target.activations)
    if target.symmetric:
        scale = max(-low, high) / info.max
        zero = 0
    else:
        scale = (high - low) / (info.max - info.min)
        zero = round(info.min - low / scale) if scale else 0
    return np.array(scale or 1.0, np.float32), np.array(zero, target.activations)


def _store(model: ModelProto, writer: QdqWriter, stored: Collection[str]) -> list[NodeProto]:
    """Store the large float initializers, including those cast from fp16, as int8 or fp16. Returns all nodes."""
    blocks = weight_blocks(model)
    by_source = {layer.source: layer for layer in layers(model)}
    large = {each.name: each for each in model.graph.initializer if each.name in blocks}
    body = []
    for node in model.graph.node:
        name = node.input[0] if node.op_type == "Cast" else ""
        if name in large and large[name].data_type == TensorProto.FLOAT16 and blocks[name] in stored:
            writer.stored(node.output[0], array_of(large[name]).astype(np.float32), by_source.get(name))
        else:
            body.append(node)
    for name, tensor in large.items():
        if tensor.data_type == TensorProto.FLOAT:
            if blocks[name] in stored:
                writer.stored(name, array_of(tensor), by_source.get(name))
            else:
                writer.halved(name, array_of(tensor))
    return [*writer.nodes, *body]
