"""Weights that lie in safetensors files, and inside graphs."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file
from torch.nn import functional as F

from edge_sam.bundles import zoo
from edge_sam.bundles.download import pulled
from edge_sam.errors import InputError, MissingExtraError
from edge_sam.export.checkpoint import read_checkpoint
from edge_sam.files.cache_home import cache_home

RANDOM = np.random.default_rng(0)


def numbers(*shape: int) -> NDArray[np.float32]:
    return RANDOM.standard_normal(shape).astype(np.float32)


def test_reads_safetensors_of_every_precision(tmp_path: Path) -> None:
    tensors = {"a.weight": torch.randn(3, 2), "a.bias": torch.ones(2, dtype=torch.bfloat16), "b": torch.ones(1).half()}
    wrapped = {f"module.{name}": tensor for name, tensor in tensors.items()}
    save_file(wrapped, tmp_path / "x.safetensors", metadata={"format": "pt"})
    (tmp_path / "x.safetensors").rename(tmp_path / "x.bin")  # It is known by its content.
    found, sha256 = read_checkpoint(tmp_path / "x.bin")
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    assert sha256 == hashlib.sha256((tmp_path / "x.bin").read_bytes()).hexdigest()


@pytest.mark.parametrize("cut", [10, 100, -1])
def test_a_damaged_safetensors_file(tmp_path: Path, cut: int) -> None:
    save_file({"a": torch.zeros(100)}, tmp_path / "x.safetensors")
    (tmp_path / "x.safetensors").write_bytes((tmp_path / "x.safetensors").read_bytes()[:cut])
    with pytest.raises(InputError, match="is a safetensors file, but it is damaged or cut short: ") as caught:
        read_checkpoint(tmp_path / "x.safetensors")
    assert len(str(caught.value).splitlines()) == 1


def test_says_how_safetensors_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "x.safetensors")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(MissingExtraError, match=r'pip install "edge-sam\[export\]"'):
        read_checkpoint(tmp_path / "x.safetensors")


BACKGROUND, WINDOW = numbers(1, 6, 7, 7), numbers(1, 6, 8, 8)
ENCODER = {
    "model.image_encoder.neck.convs.0.conv.weight": numbers(4, 6, 1, 1),
    "model.sam_mask_decoder.conv_s0.bias": numbers(4),
    "no_mem_embed": numbers(1, 4, 1),
    "/image_encoder/trunk/blocks.1/attn/qkv/Transpose_output_0": numbers(6, 18),
    "/image_encoder/trunk/blocks.1/attn/Sqrt_2_output_0": numbers(1),
    "/image_encoder/trunk/Transpose_output_0": (
        F.interpolate(torch.from_numpy(BACKGROUND), (64, 64), mode="bicubic").numpy() + np.tile(WINDOW, (1, 1, 8, 8))
    ),
}
DECODER = {
    "mask_decoder.transformer.norm.bias": numbers(4),
    "prompt_encoder.not_a_point_embed.weight": numbers(1, 4),
    "onnx::MatMul_1": numbers(4, 8),
    "onnx::Mul_2": numbers(8, 1, 1),
    "onnx::Add_3": numbers(8, 1, 1),
    "onnx::Mul_4": numbers(1, 4, 1, 1),
    "onnx::Expand_5": numbers(1, 6, 4),
    "onnx::Mul_6": numbers(8, 1, 1),
}
READERS = {
    "onnx::MatMul_1": ("MatMul", "/transformer/layers.0/mlp/layers.0/MatMul"),
    "onnx::Mul_2": ("Mul", "/output_upscaling.1/Mul"),
    "onnx::Add_3": ("Add", "/output_upscaling.1/Add_1"),
    "onnx::Mul_4": ("Mul", "/Mul_15"),
    "onnx::Expand_5": ("Expand", "/Expand_9"),
    "onnx::Mul_6": ("Mul", "/mask_downscaling/mask_downscaling.4/Mul"),
}
SIMPLE = {
    "image_encoder.neck.convs.0.conv.weight": ENCODER["model.image_encoder.neck.convs.0.conv.weight"],
    "sam_mask_decoder.conv_s0.bias": ENCODER["model.sam_mask_decoder.conv_s0.bias"],
    "no_mem_embed": ENCODER["no_mem_embed"].reshape(1, 1, 4),
    "image_encoder.trunk.blocks.1.attn.qkv.weight": ENCODER[
        "/image_encoder/trunk/blocks.1/attn/qkv/Transpose_output_0"
    ].T,
    "sam_mask_decoder.transformer.norm.bias": DECODER["mask_decoder.transformer.norm.bias"],
    "sam_prompt_encoder.not_a_point_embed.weight": DECODER["prompt_encoder.not_a_point_embed.weight"],
    "sam_mask_decoder.transformer.layers.0.mlp.layers.0.weight": DECODER["onnx::MatMul_1"].T,
    "sam_mask_decoder.output_upscaling.1.weight": DECODER["onnx::Mul_2"].ravel(),
    "sam_mask_decoder.output_upscaling.1.bias": DECODER["onnx::Add_3"].ravel(),
    "sam_prompt_encoder.no_mask_embed.weight": DECODER["onnx::Mul_4"].reshape(1, 4),
    "sam_mask_decoder.obj_score_token.weight": DECODER["onnx::Expand_5"][0, :1],
    "sam_mask_decoder.iou_token.weight": DECODER["onnx::Expand_5"][0, 1:2],
    "sam_mask_decoder.mask_tokens.weight": DECODER["onnx::Expand_5"][0, 2:],
    "sam_prompt_encoder.mask_downscaling.4.weight": DECODER["onnx::Mul_6"].ravel(),
}
"""What both graphs hold, beside the position embedding."""


def graph(weights: dict[str, NDArray[np.float32]]) -> onnx.ModelProto:
    """A graph that reads each weight by the operator of `READERS`, or as it is."""
    nodes, outputs = [], []
    for name, weight in weights.items():
        operator, node = READERS.get(name, ("Identity", f"read {name}"))
        inputs = [name]
        if operator == "Expand":
            inputs = [name, "shape"]
        elif operator != "Identity":
            inputs = [name, f"{name} beside"]
        nodes.append(helper.make_node(operator, inputs, [f"{name} read"], name=node))
        outputs.append(helper.make_tensor_value_info(f"{name} read", TensorProto.FLOAT, None))
        assert weight.dtype == np.float32
    beside = [name for node in nodes for name in node.input[1:] if name != "shape"]
    fed = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in beside]
    constants = [numpy_helper.from_array(weight, name) for name, weight in weights.items()]
    if any("shape" in node.input for node in nodes):
        constants.append(numpy_helper.from_array(np.ones(3, np.int64), "shape"))
    made = helper.make_graph(nodes, "graph", fed, outputs, constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def save_ort(weights: dict[str, NDArray[np.float32]], path: Path) -> None:
    """Let ONNX Runtime write its own format, with nothing folded."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.optimized_model_filepath = str(path)
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(graph(weights).SerializeToString(), options, ["CPUExecutionProvider"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Both graphs, and something else."""
    save_ort(ENCODER, tmp_path / "encoder.ort")
    onnx.save(graph(DECODER), tmp_path / "decoder.onnx")
    (tmp_path / "README").write_text("nothing")
    return tmp_path


def test_reads_the_weights_inside_both_graphs(folder: Path) -> None:
    found, sha256 = read_checkpoint(folder)
    background, window = (found.pop(f"image_encoder.trunk.pos_embed{name}") for name in ("", "_window"))
    assert found.keys() == SIMPLE.keys()
    for name, weight in SIMPLE.items():
        np.testing.assert_array_equal(found[name].numpy(), weight, err_msg=name)
    # Either part can hold a constant, so only their sum is known.
    for ours, official in ((background, BACKGROUND), (window, WINDOW)):
        assert np.ptp(ours.numpy() - official, axis=(2, 3)).max() < 1e-5
    folded = F.interpolate(background, (64, 64), mode="bicubic") + window.tile(1, 1, 8, 8)
    np.testing.assert_allclose(folded.numpy(), ENCODER["/image_encoder/trunk/Transpose_output_0"], atol=1e-5)
    digests = {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in ("encoder.ort", "decoder.onnx")}
    assert sha256 == zoo.combined_sha256(digests)


def test_either_format_holds_either_graph(folder: Path) -> None:
    onnx.save(graph(ENCODER), folder / "encoder.onnx")
    save_ort(DECODER, folder / "decoder.ort")
    for name in ("encoder", "decoder"):
        (one, digest), (other, _) = (read_checkpoint(folder / f"{name}.{suffix}") for suffix in ("onnx", "ort"))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)
        assert digest == hashlib.sha256((folder / f"{name}.onnx").read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["encoder.ort", "decoder.onnx"])
@pytest.mark.parametrize("left", [0, 3, 100, 1000])
def test_a_graph_that_is_cut_short(folder: Path, name: str, left: int) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:left])
    with pytest.raises(InputError, match=r"is not a readable|cannot read the weights") as caught:
        read_checkpoint(folder / name)
    assert len(str(caught.value).splitlines()) == 1


def test_weights_in_other_files(tmp_path: Path) -> None:
    onnx.save(graph(DECODER), tmp_path / "x.onnx", save_as_external_data=True, size_threshold=0)
    with pytest.raises(InputError, match="it keeps its weights in other files"):
        read_checkpoint(tmp_path / "x.onnx")


def test_graphs_and_folders_that_are_something_else(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is a folder without \.onnx and \.ort files"):
        read_checkpoint(tmp_path)
    with pytest.raises(InputError, match=r"cannot read checkpoint .*absent\.onnx: No such file or directory"):
        read_checkpoint(tmp_path / "absent.onnx")
    onnx.save(graph({"conv.weight": numbers(3)}), tmp_path / "x.onnx")
    with pytest.raises(InputError, match=r"x\.onnx: its weights are not named as in a graph of SAM 2"):
        read_checkpoint(tmp_path / "x.onnx")
    onnx.save(graph({**DECODER, "onnx::Expand_5": numbers(6)}), tmp_path / "x.onnx")
    with pytest.raises(InputError, match=r"Expand /Expand_9 \[6\] is not what was expected"):
        read_checkpoint(tmp_path / "x.onnx")
    other = {**ENCODER, "/image_encoder/trunk/Transpose_output_0": numbers(1, 6, 64, 64)}
    onnx.save(graph(other), tmp_path / "x.onnx")
    with pytest.raises(InputError, match="is not the sum of an enlarged and a tiled position embedding"):
        read_checkpoint(tmp_path / "x.onnx")


def test_the_real_package() -> None:
    model = zoo.read_index()["sam2-tiny"]
    folder = pulled(model, cache_home())
    if folder is None or folder.is_file():
        pytest.skip("the npm package of sam2-tiny is not in the cache")
    state, sha256 = read_checkpoint(folder)
    assert len(state) == 305
    assert sum(tensor.numel() for tensor in state.values()) == 31_309_136
    assert state["image_encoder.trunk.pos_embed"].shape == (1, 96, 7, 7)
    assert state["image_encoder.trunk.blocks.10.attn.qkv.weight"].shape == (2304, 384)
    assert zoo.archive_source(sha256, model.license) is not None
