"""Which blocks `default_blocks` chooses, by their kind."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edge_sam.bundles.bundle import BUNDLED
from edge_sam.quantize.recipe import default_blocks


def products(*names: str) -> ModelProto:
    """A chain of matrix products with the node names given."""
    arrays = [numpy_helper.from_array(np.ones((32, 32), np.float32), f"weight{i}") for i in range(len(names))]
    nodes = [
        helper.make_node("MatMul", [f"x{i}", f"weight{i}"], [f"x{i + 1}"], name=name) for i, name in enumerate(names)
    ]
    ends = [helper.make_tensor_value_info(x, TensorProto.FLOAT, [1, 32]) for x in ("x0", f"x{len(names)}")]
    return helper.make_model(helper.make_graph(nodes, "products", ends[:1], ends[1:], arrays))


def test_transformer_blocks_of_any_trunk_compute_in_int8() -> None:
    """Hiera's names, which have the trunk in front."""
    block = "/trunk/stages.2/stages.2.1"
    kinds = ("attention", "lin1", "lin2", "project")
    graph = products("/trunk/position/MatMul", *(f"{block}/{kind}/MatMul" for kind in kinds), "/neck/MatMul")
    blocks = default_blocks("encoder", graph)
    assert blocks.integer == blocks.stored == tuple(f"stages.2.1/{kind}" for kind in kinds)


def test_patches_and_positions_of_a_plain_vit_stay_in_half() -> None:
    """Their nodes are in no block. Alone in int8, they cost a small random ViT more than any of its blocks."""
    blocks = default_blocks("encoder", products("/MatMul", "/blocks.0/attention/MatMul", "/blocks.0/lin1/MatMul"))
    assert blocks.stored == blocks.integer == ("blocks.0/attention", "blocks.0/lin1")


def test_an_encoder_without_transformer_blocks_only_stores_int8() -> None:
    blocks = default_blocks("encoder", products("/trunk/stages.0/stages.0.1/MatMul", "/neck/MatMul"))
    assert blocks.integer == ()
    assert blocks.stored == ("trunk/stages.0.1", "neck")


@pytest.mark.parametrize("stage", [1, 2])
def test_second_layers_of_tiny_vits_late_stages_stay_float(stage: int) -> None:
    graph = onnx.load(BUNDLED / "mobile-sam" / "encoder.w16.onnx")
    blocks = default_blocks("encoder", graph)
    assert f"stages.{stage}.0/fc1" in blocks.integer
    assert f"stages.{stage}.0/fc2" in blocks.stored
    assert f"stages.{stage}.0/fc2" not in blocks.integer
    assert "neck" not in blocks.stored
