"""Graphs around a bundle's components: written as ONNX text, in which the components are functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, inliner, numpy_helper, parser

DOMAIN = "edge_sam"
"""Domain of the components in the text: ``edge_sam.encoder(image)``."""
_IR_VERSION = 8
"""Version of the file format: the first with functions, and old enough for all current runtimes."""


def compose(text: str, components: Mapping[str, ModelProto], constants: Mapping[str, NDArray[Any]]) -> ModelProto:
    """Make one flat graph of a text and the components that it calls.

    Parameters
    ----------
    text : str
        A graph in ONNX's text format, without the header of a model.
    components : mapping of str to ModelProto
        Graphs by role. Their inputs and outputs are bound by position.
    constants : mapping of str to ndarray
        Initializers of the text's graph, by name.
    """
    opset = next(each.version for graph in components.values() for each in graph.opset_import if not each.domain)
    header = f'<ir_version: {_IR_VERSION}, opset_import: ["" : {opset}, "{DOMAIN}" : 1]>'
    model = parser.parse_model(header + text)
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    called = {node.op_type for node in _nodes(model.graph) if node.domain == DOMAIN}
    model.functions.extend(_function(role, components[role]) for role in sorted(called))
    flat = inliner.inline_local_functions(model)
    _lift_constants(flat.graph)
    _drop_unused(flat.graph)
    del flat.opset_import[:]
    flat.opset_import.append(helper.make_opsetid("", opset))
    onnx.checker.check_model(flat, full_check=True)
    return flat


def _function(role: str, component: ModelProto) -> onnx.FunctionProto:
    """Return a component as a function. Its weights become constants, since a function has no initializers."""
    graph = component.graph
    weights = [helper.make_node("Constant", [], [each.name], value=each) for each in graph.initializer]
    return helper.make_function(
        DOMAIN,
        role,
        [each.name for each in graph.input],
        [each.name for each in graph.output],
        [*weights, *graph.node],
        component.opset_import,
    )


def _lift_constants(graph: GraphProto) -> None:
    """Turn constants back into initializers of the main graph, where every runtime looks for weights."""
    for part in _graphs(graph):
        kept = []
        for node in part.node:
            if node.op_type != "Constant":
                kept.append(node)
                continue
            (attribute,) = node.attribute
            weights = TensorProto()
            if attribute.name == "value":
                weights.CopyFrom(attribute.t)
            else:  # OpenCV takes the integers of other attributes for 32 bits wide.
                value = helper.get_attribute_value(attribute)
                kind = np.int64 if attribute.name.startswith("value_int") else np.float32
                weights.CopyFrom(numpy_helper.from_array(np.array(value, kind)))
            weights.name = node.output[0]
            graph.initializer.append(weights)
        del part.node[:]
        part.node.extend(kept)


def _drop_unused(graph: GraphProto) -> None:
    """Remove initializers that no node takes, of which ONNX Runtime warns."""
    used = {name for node in _nodes(graph) for name in node.input}
    kept = [each for each in graph.initializer if each.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _graphs(graph: GraphProto) -> Iterator[GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g)


def _nodes(graph: GraphProto) -> Iterator[NodeProto]:
    for each in _graphs(graph):
        yield from each.node
