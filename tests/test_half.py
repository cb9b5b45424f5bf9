"""Typed fp16: the same masks, also where every node rounds as fp16 hardware does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

import edge_sam
from edge_sam.bundles.bundle import open_bundle
from edge_sam.bundles.contract import Role
from edge_sam.errors import RuntimeUnavailableError
from edge_sam.inference.guard import check_probe, run_probe
from edge_sam.inference.model import LoadedModel
from edge_sam.quantize.half import exact_nodes, to_half, with_explicit_rounding
from edge_sam.runtimes import Session, Tensors

BUNDLE = open_bundle("mobile-sam")
ROLES: tuple[Role, ...] = ("encoder", "decoder")


class Graph(Session):
    """A graph in memory; a `Session`."""

    provider = "CPU"

    def __init__(self, model: ModelProto) -> None:
        data = model.SerializeToString()
        self._session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        self.input_names = [each.name for each in self._session.get_inputs()]

    def run(self, inputs: Mapping[str, Any]) -> Tensors:
        outputs = self._session.run(None, dict(inputs))
        return {each.name: value for each, value in zip(self._session.get_outputs(), outputs, strict=True)}


@pytest.fixture(scope="module")
def graphs() -> dict[Role, ModelProto]:
    return {role: onnx.load(BUNDLE.verified_file(BUNDLE.component(role, "w16", "onnx"))) for role in ROLES}


def with_separate_statistics(model: ModelProto) -> ModelProto:
    """LayerNormalization in separate nodes, as runtimes without such a kernel compute it."""
    changed = ModelProto()
    changed.CopyFrom(model)
    del changed.graph.node[:]
    changed.graph.initializer.append(numpy_helper.from_array(np.array(1e-5, np.float32), "epsilon"))

    def add(kind: str, inputs: list[str], output: str, **given: Any) -> str:
        changed.graph.node.append(helper.make_node(kind, inputs, [output], name=output, **given))
        return output

    for node in model.graph.node:
        if node.op_type != "LayerNormalization":
            changed.graph.node.append(node)
            continue
        x, weight, bias = node.input
        name = node.name
        centred = add("Sub", [x, add("ReduceMean", [x], f"{name}.mean", axes=[-1])], f"{name}.centred")
        square = add("Mul", [centred, centred], f"{name}.square")
        variance = add("ReduceMean", [square], f"{name}.variance", axes=[-1])
        deviation = add("Sqrt", [add("Add", [variance, "epsilon"], f"{name}.sum")], f"{name}.deviation")
        scaled = add("Mul", [add("Div", [centred, deviation], f"{name}.normed"), weight], f"{name}.scaled")
        add("Add", [scaled, bias], node.output[0])
    return changed


def load(graphs: dict[Role, ModelProto]) -> LoadedModel:
    """The bundle's model with other graphs in it."""
    predictor = edge_sam.load("mobile-sam", runtime="onnxruntime")
    return predictor.model.replaced({role: Graph(graph) for role, graph in graphs.items()}).active


@pytest.mark.parametrize("role", ROLES)
def test_the_graph_is_typed_and_standard(graphs: dict[Role, ModelProto], role: Role) -> None:
    half = to_half(graphs[role])
    onnx.checker.check_model(half, full_check=True)
    assert {domain.domain for domain in half.opset_import} == {""}
    assert "OneHot" not in {node.op_type for node in half.graph.node}
    assert [each.SerializeToString() for each in (*half.graph.input, *half.graph.output)] == [
        each.SerializeToString() for each in (*graphs[role].graph.input, *graphs[role].graph.output)
    ]
    values = onnx.shape_inference.infer_shapes(half, strict_mode=True).graph.value_info
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    exact = exact_nodes(graphs[role])
    for node in half.graph.node:
        expected = TensorProto.FLOAT if node.name in exact else TensorProto.FLOAT16
        if node.op_type in ("Conv", "MatMul", "Softmax", "LayerNormalization", "Sin"):
            assert types.get(node.output[0], expected) == expected, node.name
    assert half.ByteSize() < 1.01 * graphs[role].ByteSize()


def test_same_bytes_twice(graphs: dict[Role, ModelProto]) -> None:
    first, second = (to_half(graphs["encoder"]).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


def test_the_guard_passes_it(graphs: dict[Role, ModelProto]) -> None:
    model = load({role: with_explicit_rounding(to_half(graph)) for role, graph in graphs.items()})
    differences = check_probe(run_probe(model), BUNDLE.probe("w16"), "fp16")
    assert 1e-4 < max(differences.values()) < 5e-3


@pytest.mark.thorough
def test_statistics_in_fp16_are_found_out(graphs: dict[Role, ModelProto]) -> None:
    plain = to_half(with_separate_statistics(graphs["encoder"]))
    model = load({"encoder": with_explicit_rounding(plain)})
    with pytest.raises(RuntimeUnavailableError, match="hardly differs between two different images"):
        check_probe(run_probe(model), BUNDLE.probe("w16"), "fp16")
    # The CPU provider by itself would not show it: it keeps float32 between nodes.
    model = load({"encoder": plain})
    check_probe(run_probe(model), BUNDLE.probe("w16"), "fp16")


@pytest.mark.thorough
def test_masks_of_a_photograph(
    graphs: dict[Role, ModelProto],
    predictor: edge_sam.Predictor,
    embedding: edge_sam.ImageEmbedding,
    coffee: np.ndarray,
) -> None:
    prompts = [edge_sam.Prompt(points=[[250, 200]]), edge_sam.Prompt(box=[76, 18, 478, 390])]
    exact = [result.masks[0] for result in predictor.predict(embedding, prompts)]
    rounded = {role: Graph(with_explicit_rounding(to_half(graph))) for role, graph in graphs.items()}
    half = edge_sam.Predictor(edge_sam.load("mobile-sam", runtime="onnxruntime").model.replaced(rounded))
    computed = [result.masks[0] for result in half.predict(half.encode(coffee), prompts)]
    for ours, theirs in zip(computed, exact, strict=True):
        assert (ours & theirs).sum() / (ours | theirs).sum() > 0.995
