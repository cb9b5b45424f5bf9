"""Smoothing on the real encoder: the same numbers come out, and what goes into the products is more even."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from conftest import PHOTOGRAPHS
from onnx import ModelProto

import edge_sam
from edge_sam.bundles.bundle import open_bundle
from edge_sam.imaging.images import read_image
from edge_sam.quantize.calibration import collect_statistics
from edge_sam.quantize.observers import OBSERVERS, ActivationStatistics
from edge_sam.quantize.recipe import default_blocks
from edge_sam.quantize.sessions import ROLES, open_predictor, with_graphs
from edge_sam.quantize.smoothing import smooth

pytestmark = pytest.mark.thorough

FILES = [PHOTOGRAPHS / "chelsea.png", PHOTOGRAPHS / "coffee.png"]
Watched = dict[str, ActivationStatistics]


@pytest.fixture(scope="module")
def exact() -> edge_sam.Predictor:
    return open_predictor(open_bundle("mobile-sam"), "w16")


@pytest.fixture(scope="module")
def graph(exact: edge_sam.Predictor) -> ModelProto:
    return onnx.load(exact.bundle.verified_file(exact.bundle.component("encoder", "w16", "onnx")))


def seen_in(exact: edge_sam.Predictor, encoder: ModelProto) -> Watched:
    decoder = onnx.load(exact.bundle.verified_file(exact.bundle.component("decoder", "w16", "onnx")))
    return collect_statistics(exact, dict(zip(ROLES, (encoder, decoder), strict=True)), FILES, 0, lambda: None)[
        "encoder"
    ]


@pytest.fixture(scope="module")
def seen(exact: edge_sam.Predictor, graph: ModelProto) -> Watched:
    return seen_in(exact, graph)


@pytest.fixture(scope="module")
def smoothed(graph: ModelProto, seen: Watched) -> tuple[ModelProto, Watched]:
    return smooth(graph, seen, default_blocks("encoder", graph).integer)


def test_the_embedding_is_the_same(exact: edge_sam.Predictor, smoothed: tuple[ModelProto, Watched]) -> None:
    image = read_image(FILES[0])
    ours, theirs = (each.encode(image).features for each in (with_graphs(exact, {"encoder": smoothed[0]}), exact))
    assert np.abs(ours - theirs).max() < 1e-4
    assert not np.array_equal(ours, theirs)


def test_it_knows_what_would_be_seen(exact: edge_sam.Predictor, smoothed: tuple[ModelProto, Watched]) -> None:
    for name, again in seen_in(exact, smoothed[0]).items():
        told = smoothed[1][name]
        np.testing.assert_allclose(told.low, again.low, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(told.high, again.high, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(np.sort(told.sample)[::997], np.sort(again.sample)[::997], rtol=1e-2, atol=1e-2)


def test_channels_become_more_alike(seen: Watched, smoothed: tuple[ModelProto, Watched]) -> None:
    """How much smaller the ordinary channel is than the largest: what int8 has to bridge with one step size."""

    def unevenness(each: ActivationStatistics) -> float:
        reach = np.maximum(-each.low, each.high)
        return float(reach.max() / np.median(reach))

    changed = [name for name in seen if not np.array_equal(seen[name].low, smoothed[1][name].low)]
    assert len(changed) == 20, "attention and fc1 of ten blocks"
    before, after = (np.array([unevenness(each[name]) for name in changed]) for each in (seen, smoothed[1]))
    assert (after < before).all()
    assert np.median(after / before) < 0.7


@pytest.mark.parametrize("observer", OBSERVERS)
def test_nothing_changes_where_nothing_is_quantised(graph: ModelProto, seen: Watched, observer: str) -> None:
    same, told = smooth(graph, seen, ())
    assert [node.SerializeToString() for node in same.graph.node] == [
        node.SerializeToString() for node in graph.graph.node
    ]
    for name, each in told.items():
        assert OBSERVERS[observer](each) == OBSERVERS[observer](seen[name])


def test_a_norm_that_others_read_too_is_left_alone(graph: ModelProto, seen: Watched) -> None:
    read = ModelProto()
    read.CopyFrom(graph)
    norm = next(node for node in read.graph.node if node.op_type == "LayerNormalization")
    read.graph.node.append(onnx.helper.make_node("Neg", [norm.output[0]], ["negative"], name="/negative/Neg"))
    read.graph.output.append(onnx.helper.make_empty_tensor_value_info("negative"))
    integer = default_blocks("encoder", graph).integer
    untouched = {name for name, each in smooth(read, seen, integer)[1].items() if each is seen[name]}
    assert untouched - {name for name, each in smooth(graph, seen, integer)[1].items() if each is seen[name]}
