"""Quantising graphs beyond the limit of protobuf, which small ones are here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from families.recorded import load, picture
from onnx import ModelProto, numpy_helper
from onnxruntime.transformers import float16

import edge_sam
from edge_sam.bundles import graph_weights
from edge_sam.bundles.bundle import open_bundle
from edge_sam.bundles.draft import Draft
from edge_sam.bundles.graph_weights import read_graph, write_graph
from edge_sam.export import onnx_writer
from edge_sam.quantize.bundle_writer import add_components
from edge_sam.quantize.graph import layers
from edge_sam.quantize.half import to_half
from edge_sam.quantize.job import QuantizedComponent
from edge_sam.quantize.observers import ActivationRange, min_max
from edge_sam.quantize.qdq import quantise
from edge_sam.quantize.recipe import default_blocks
from edge_sam.quantize.sessions import ROLES, ObservingSession, open_graph
from edge_sam.quantize.smoothing import smooth
from edge_sam.quantize.targets import TARGETS

LIMIT = 10_000
"""Bytes, in place of 2 GB."""
IMAGE = {"image": picture(64, 96).numpy()}


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelProto:
    """The encoder of a small ViT, with its weights inside."""
    monkeypatch.setitem(onnx_writer._EXAMPLES, "height", 64)
    monkeypatch.setitem(onnx_writer._EXAMPLES, "width", 96)
    return onnx_writer.to_onnx("encoder", load("sam").model(tmp_path).encoder, store_half=False)


def test_weights_beside_the_graph_are_quantised_like_those_inside(
    whole: ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_weights, "LARGEST", LIMIT)
    file, weights = write_graph(whole, tmp_path / "encoder.onnx")
    onnx.checker.check_model(file, full_check=True)
    outside = read_graph(file)
    assert outside.ByteSize() + weights.stat().st_size < 1.1 * whole.ByteSize()
    assert weights.stat().st_size > LIMIT

    observing = ObservingSession(outside, [layer.node.input[0] for layer in layers(outside)], seed=0)
    exact = observing.run(IMAGE)["image_embedding"]
    np.testing.assert_array_equal(exact, open_graph(whole).run(IMAGE)["image_embedding"])

    def small(graph: ModelProto) -> list[ModelProto]:
        blocks = default_blocks("encoder", graph)
        smoothed, statistics = smooth(graph, observing.statistics, blocks.integer)
        ranges = {name: ActivationRange(min_max(each), each) for name, each in statistics.items()}
        return [quantise(smoothed, TARGETS["cpu"], ranges, blocks.integer, blocks.stored), to_half(graph)]

    for i, (inside, ours) in enumerate(zip(small(whole), small(outside), strict=True)):
        for name, graph in (("inside", inside), ("outside", ours)):
            assert len(write_graph(graph, tmp_path / f"{name}{i}.onnx")) == 2
        one, other = (onnx.load(tmp_path / f"{name}{i}.onnx") for name in ("inside", "outside"))
        assert one.SerializeToString() == other.SerializeToString()
        found = open_graph(ours).run(IMAGE)["image_embedding"]
        assert 0 < np.abs(found - exact).max() < 0.5 * exact.std()


def test_half_of_a_graph_is_the_same_below_and_beyond_the_limit(
    whole: ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert, given = float16.convert_float_to_float16, []

    def watched(graph: ModelProto | str, **options: Any) -> ModelProto:
        given.append(type(graph))
        converted: ModelProto = convert(graph, **options)
        return converted

    monkeypatch.setattr(float16, "convert_float_to_float16", watched)
    below = to_half(whole)
    monkeypatch.setattr(graph_weights, "LARGEST", LIMIT)
    beyond = to_half(whole)
    assert given == [ModelProto, str]  # Older converters cannot read a file on Windows.
    assert below.graph.node == beyond.graph.node
    for one, other in zip(below.graph.initializer, beyond.graph.initializer, strict=True):
        assert (one.name, one.data_type, one.dims) == (other.name, other.data_type, other.dims)
        np.testing.assert_array_equal(numpy_helper.to_array(one), numpy_helper.to_array(other))


def test_a_graph_below_the_limit_is_one_file_again(
    whole: ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as lowered:
        lowered.setattr(graph_weights, "LARGEST", LIMIT)
        file, _ = write_graph(whole, tmp_path / "large.onnx")
    (small,) = write_graph(read_graph(file), tmp_path / "small.onnx")
    assert small.read_bytes() == whole.SerializeToString()


def test_a_bundle_takes_quantised_graphs_with_weights_beside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_weights, "LARGEST", LIMIT)
    source = open_bundle("mobile-sam")
    graphs = [
        QuantizedComponent(role, read_graph(source.verified_file(source.component(role, "w16", "onnx"))))
        for role in ROLES
    ]
    with Draft(tmp_path / "large", source=source) as draft:
        bundle = draft.finish(add_components(draft, source, graphs, "fp16", "w16"))
    companion = bundle.component("encoder", "fp16", "onnx").companion
    assert companion is not None
    assert companion.bytes > LIMIT
    small = edge_sam.load(bundle.path, runtime="onnxruntime", precision="fp16", strict=True)
    assert small.precision == "fp16"
