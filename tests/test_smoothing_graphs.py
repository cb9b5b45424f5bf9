"""Smoothing on small graphs of every shape that a new family may bring: the same numbers must come out."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edge_sam.quantize.graph import layers, rebuilt
from edge_sam.quantize.observers import ActivationStatistics
from edge_sam.quantize.smoothing import smooth

CHANNELS, OUTPUTS = 8, 128
RNG = np.random.default_rng(0)
ARRAYS: dict[str, np.ndarray] = {
    "norm.weight": RNG.uniform(0.5, 2, CHANNELS).astype(np.float32),
    "norm.bias": RNG.normal(size=CHANNELS).astype(np.float32),
    "weight": RNG.normal(size=(CHANNELS, OUTPUTS)).astype(np.float32),
    "pads": np.array([0, 1, 0, 0, 1, 0], np.int64),
    "zero": np.zeros((), np.float32),
    "one": np.ones((), np.float32),
    "nowhere": np.array(False),
    "begin": np.array([0], np.int64),
    "end": np.array([CHANNELS], np.int64),
    "axis": np.array([1], np.int64),
    "shape": np.array([1, 2, -1, CHANNELS], np.int64),
}
INPUT = (RNG.normal(size=(1, 2 * CHANNELS, CHANNELS)) * np.geomspace(0.1, 10, CHANNELS)).astype(np.float32)
NORM = helper.make_node("LayerNormalization", ["x", "norm.weight", "norm.bias"], ["normed"], name="/a/Norm")


def product(taken: str) -> NodeProto:
    return helper.make_node("MatMul", [taken, "weight"], ["y"], name="/a/MatMul")


def between(kind: str, *inputs: str, **given: Any) -> list[NodeProto]:
    return [NORM, helper.make_node(kind, ["normed", *inputs], ["laid"], name=f"/a/{kind}", **given), product("laid")]


def branch(taken: str) -> NodeProto:
    """A branch whose body reads a tensor of the graph around it."""
    bodies = {}
    for which in ("then_branch", "else_branch"):
        node = helper.make_node("Neg", [taken], [f"{which}.negative"], name=f"/b/{which}")
        result = helper.make_tensor_value_info(f"{which}.negative", TensorProto.FLOAT, None)
        bodies[which] = helper.make_graph([node], which, [], [result])
    return helper.make_node("If", ["nowhere"], ["branched"], name="/b/If", **bodies)


def graph(nodes: list[NodeProto], *outputs: str) -> ModelProto:
    named = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    taken = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, None, CHANNELS])]
    arrays = [numpy_helper.from_array(array, name) for name, array in ARRAYS.items()]
    body = helper.make_graph(nodes, "small", taken, named, arrays)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return rebuilt(model, model.graph.node)


def run(model: ModelProto, *names: str) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return list(session.run(names or None, {"x": INPUT}))


def smoothed(model: ModelProto) -> ModelProto:
    """The graph as it is smoothed once its activation was seen."""
    [layer] = layers(model)
    watched = ModelProto()
    watched.CopyFrom(model)
    name = layer.node.input[0]
    if name not in {output.name for output in watched.graph.output}:
        watched.graph.output.append(helper.make_empty_tensor_value_info(name))
    seen = ActivationStatistics()
    seen.add(run(watched, name)[0].reshape(-1, CHANNELS), np.random.default_rng(0))
    return smooth(model, {name: seen}, [layer.block])[0]


SMOOTHED = {
    "nothing between": graph([NORM, product("normed")], "y"),
    "padded with zeros": graph(between("Pad", "pads", "zero"), "y"),
    "padded with nothing said": graph(between("Pad", "pads"), "y"),
    "turned before the channels": graph(between("Transpose", perm=[1, 0, 2]), "y"),
    "in another form": graph(between("Reshape", "shape"), "y"),
}
LEFT = {
    "also an output": graph([NORM, product("normed")], "y", "normed"),
    "also an output, laid out": graph(between("Reshape", "shape"), "y", "laid"),
    "padded with ones": graph(between("Pad", "pads", "one"), "y"),
    "read by a branch": graph([NORM, product("normed"), branch("normed")], "y", "branched"),
    "turned with the channels": graph(
        [
            NORM,
            helper.make_node("Slice", ["normed", "begin", "end", "axis"], ["cut"], name="/a/Slice"),
            helper.make_node("Transpose", ["cut"], ["laid"], name="/a/Transpose", perm=[0, 2, 1]),
            product("laid"),
        ],
        "y",
    ),
}


@pytest.mark.parametrize("name", SMOOTHED)
def test_what_can_be_smoothed_is(name: str) -> None:
    model = SMOOTHED[name]
    changed = smoothed(model)
    assert "/a/Norm.smooth1" in {array.name for array in changed.graph.initializer}
    for ours, theirs in zip(run(changed), run(model), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", LEFT)
def test_what_cannot_is_left_as_it_is(name: str) -> None:
    changed = smoothed(LEFT[name])
    for ours, theirs in zip(run(changed), run(LEFT[name]), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_channels_are_kept_in_few_bytes() -> None:
    for channels, size in ((64, 1), (256, 1), (257, 2), (65537, 4)):
        seen = ActivationStatistics()
        seen.add(np.arange(4 * channels, dtype=np.float32).reshape(4, channels), np.random.default_rng(0))
        assert seen.channels[0].itemsize == size
        np.testing.assert_array_equal(seen.samples[0] % channels, seen.channels[0])
