"""Export torch modules to ONNX that ONNX Runtime, OpenVINO and TensorRT accept."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn

from edge_sam.bundles.contract import INTEGERS, SAM, Contract, Role, Shape
from edge_sam.bundles.graph_weights import without_weights, write_graph
from edge_sam.bundles.manifest import TensorSpec
from edge_sam.errors import ExportError
from edge_sam.export.torch_model import HALF_FROM

OPSET = 17
"""The first opset with LayerNormalization, and old enough for all current runtimes."""

UNFIT_OPERATORS = {"OneHot", "NonZero", "Resize", "Loop", "If", "Scan", "ScatterND", "GridSample", "Einsum"}
"""Operators that TensorRT rejects with dynamic shapes, or that belong outside the graph."""

_MULTIPLES = (("", 1), ("2*", 2), ("4*", 4))
_EXAMPLES = {
    "height": 576,
    "width": 1024,
    "one_or_prompts": 1,
    "prompts": 2,
    "points": 3,
    "masks": 3,
    "encoded_tokens": 1,  # As many as `token_size` says, which is all ones.
    "tokens": 36 * 64 + 28,
    **{f"{prefix}rows": factor * 36 for prefix, factor in _MULTIPLES},
    **{f"{prefix}columns": factor * 64 for prefix, factor in _MULTIPLES},
}
"""Size of each dynamic dimension of the inputs for tracing."""


def to_onnx(role: Role, module: nn.Module, store_half: bool, contract: Contract = SAM) -> ModelProto:
    """Export a component to ONNX.

    Parameters
    ----------
    role : Role
        Role in the bundle; see `edge_sam.bundles.contract`.
    module : nn.Module
        The component.
    store_half : bool
        Store large weights as fp16, with a cast to fp32 that runtimes fold on loading. The values must already be
        exact in fp16 (`TorchModel.rounded_to_half`).
    contract : Contract
        Inputs and outputs of the family's components.

    Raises
    ------
    ExportError
        The graph has an operator that a runtime would reject.
    """
    inputs, outputs = contract.inputs[role], contract.outputs[role]
    model = _trace(module, inputs, outputs)
    for value in model.graph.output:  # The tracer invents names for unknown dimensions.
        for dimension, size in zip(value.type.tensor_type.shape.dim, outputs[value.name], strict=True):
            dimension.Clear()
            setattr(dimension, "dim_param" if isinstance(size, str) else "dim_value", size)
    unfit = sorted({node.op_type for node in model.graph.node} & UNFIT_OPERATORS)
    if unfit:
        raise ExportError(f"{role} has operators that a runtime would reject: {', '.join(unfit)}")
    return _stored_in_half(model) if store_half else model


def save_graph(model: ModelProto, file: Path) -> list[Path]:
    """Check and write a graph.

    Returns
    -------
    list of Path
        The file. Graphs beyond the limit of protobuf have their weights in a second file beside it.
    """
    files = write_graph(model, file)
    onnx.checker.check_model(file, full_check=True)
    return files


def _trace(module: nn.Module, inputs: Mapping[str, Shape], outputs: Mapping[str, Shape]) -> ModelProto:
    exporter_log = logging.getLogger("torch.onnx")
    level = exporter_log.level
    exporter_log.setLevel(logging.ERROR)
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), torch.no_grad():
            # The tracing exporter is deprecated; docs/decisions/0003 explains why it is used here.
            warnings.simplefilter("ignore")
            file = Path(folder) / "part.onnx"
            torch.onnx.export(
                module,
                _example_inputs(inputs),
                str(file),  # Weights over 2 GiB go beside it only if it is a string.
                dynamo=False,
                opset_version=OPSET,
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_axes={name: _free_axes(shape) for name, shape in {**inputs, **outputs}.items()},
                do_constant_folding=False,
            )
            return onnx.load(file)
    finally:
        exporter_log.setLevel(level)


def _example_inputs(inputs: Mapping[str, Shape]) -> tuple[Tensor, ...]:
    return tuple(
        torch.ones(
            [_EXAMPLES[d] if isinstance(d, str) else d for d in shape],
            dtype=torch.int64 if name in INTEGERS else torch.float32,
        )
        for name, shape in inputs.items()
    )


def tensor_specs(model: ModelProto) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Return the specifications of a graph's inputs and outputs."""

    def describe(value: onnx.ValueInfoProto) -> TensorSpec:
        tensor = value.type.tensor_type
        shape = tuple(d.dim_param or d.dim_value for d in tensor.shape.dim)
        return TensorSpec(value.name, helper.tensor_dtype_to_np_dtype(tensor.elem_type).name, shape)

    return tuple(map(describe, model.graph.input)), tuple(map(describe, model.graph.output))


def _free_axes(shape: Shape) -> dict[int, str]:
    return {axis: size for axis, size in enumerate(shape) if isinstance(size, str)}


def _stored_in_half(model: ModelProto) -> ModelProto:
    """Return a graph with an fp16 initializer and a cast for each large float32 initializer.

    A new one, because a message keeps the memory of what was replaced in it.
    """
    stored = without_weights(model)
    del stored.graph.node[:]
    for initializer in model.graph.initializer:
        name, array = initializer.name, numpy_helper.to_array(initializer)
        if array.dtype != np.float32 or array.size < HALF_FROM:
            stored.graph.initializer.append(initializer)
            continue
        half = array.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), array):
            raise ExportError(f"weights {name} are not exact in fp16")
        stored.graph.initializer.append(numpy_helper.from_array(half, f"{name}.half"))
        cast = helper.make_node("Cast", [f"{name}.half"], [name], name=f"{name}.cast", to=TensorProto.FLOAT)
        stored.graph.node.append(cast)
    stored.graph.node.extend(model.graph.node)
    return stored
