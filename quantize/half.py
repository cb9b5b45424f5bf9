"""fp16 graphs: weights and activations in half precision, except for the parts that need float32.

For CUDA and TensorRT, whose current versions take the precision from the file. Inputs and outputs stay float32, so the
runtimes need no other code.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from onnx import ModelProto, NodeProto, TensorProto, helper, load_model, numpy_helper, shape_inference

from edge_sam.bundles.graph_weights import write_graph
from edge_sam.quantize.graph import producers, sort_nodes
from edge_sam.runtimes import REFERENCE, backend

EXACT_OPERATORS = ("LayerNormalization", "Softmax")
"""Sums of many squares or exponentials. The squares of TinyViT's activations overflow fp16."""
PERIODIC = ("Sin", "Cos")
"""Their inputs are positions and phases, which lose whole pixels in fp16."""


def to_half(model: ModelProto) -> ModelProto:
    """Convert a float graph to fp16 with ONNX Runtime's converter.

    Parameters
    ----------
    model : ModelProto
        A float32 graph with weights stored as float32 or fp16, which is not changed.

    Returns
    -------
    ModelProto
        The graph in fp16 except for `exact_nodes`, with inputs and outputs in float32.
    """
    backend(REFERENCE).load_package()  # Before any import of ONNX Runtime, because it turns telemetry off.
    from onnxruntime.transformers.float16 import convert_float_to_float16

    exact = sorted(exact_nodes(model))
    with tempfile.TemporaryDirectory() as folder:
        file, *weights = write_graph(model, Path(folder, "graph.onnx"))
        # Only a file may be beyond the limit of protobuf. Older converters cannot read one on Windows.
        graph = str(file) if weights else load_model(file)
        converted: ModelProto = convert_float_to_float16(graph, keep_io_types=True, node_block_list=exact)
    sort_nodes(converted)  # The converter appends casts at the end.
    return converted


def exact_nodes(model: ModelProto) -> set[str]:
    """Return the names of nodes that must compute in float32: statistics, attention scores, softmax and positions."""
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
    """Rewrite an fp16 graph so that ONNX Runtime's CPU kernels round as fp16 hardware does.

    The CPU provider has few fp16 kernels. It computes chains of fp16 nodes in float32 without rounding in between, so
    values that overflow on a GPU go unnoticed. Here each node computes in float32, and its result is rounded.

    Parameters
    ----------
    half : ModelProto
        From `to_half`; it is not changed.

    Returns
    -------
    ModelProto
        A slow graph with the results of kernels that sum in float32 and store fp16.
    """
    halves = _half_tensors(half)
    changed = ModelProto()
    changed.CopyFrom(half)
    del changed.graph.node[:]
    for node in half.graph.node:
        if node.op_type == "Cast" or node.output[0] not in halves:
            changed.graph.node.append(node)
            continue
        copy = NodeProto()
        copy.CopyFrom(node)
        for i, name in enumerate(node.input):
            if name in halves:
                copy.input[i] = f"{node.name}.{i}.wide"
                changed.graph.node.append(helper.make_node("Cast", [name], [copy.input[i]], to=TensorProto.FLOAT))
        copy.output[0] = f"{node.output[0]}.wide"
        _widen_constants(copy)
        rounding = helper.make_node("Cast", [copy.output[0]], [node.output[0]], to=TensorProto.FLOAT16)
        changed.graph.node.extend([copy, rounding])
    return changed


def _widen_constants(node: NodeProto) -> None:
    """Convert the fp16 tensors in a node's attributes to float32."""
    for attribute in node.attribute:
        if attribute.t.data_type == TensorProto.FLOAT16:
            attribute.t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(attribute.t).astype("float32")))


def _half_tensors(model: ModelProto) -> set[str]:
    """Return the names of a graph's fp16 tensors."""
    graph = shape_inference.infer_shapes(model).graph
    values = {value.name for value in graph.value_info if value.type.tensor_type.elem_type == TensorProto.FLOAT16}
    return values | {each.name for each in graph.initializer if each.data_type == TensorProto.FLOAT16}


def _scores(softmax: NodeProto, made_by: dict[str, NodeProto]) -> Iterator[str]:
    """Yield the nodes from a softmax back to the product of queries and keys."""
    node: NodeProto | None = softmax
    while node is not None:
        yield node.name
        node = None if node.op_type == "MatMul" else made_by.get(node.input[0])


def _ancestors(node: NodeProto, made_by: dict[str, NodeProto]) -> set[str]:
    """Return the names of a node and of all nodes that it depends on."""
    found: set[str] = set()
    todo = [node]
    while todo:
        each = todo.pop()
        if each.name not in found:
            found.add(each.name)
            todo.extend(made_by[name] for name in each.input if name in made_by)
    return found
