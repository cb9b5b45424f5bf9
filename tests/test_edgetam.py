"""EdgeTAM: its encoder against plain formulas, with seeded random weights. Prompts and decoder are SAM 2's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from sam2_formulas import Tensors, random_tensors
from torch import Tensor
from torch.nn import functional as F

from edge_sam.errors import InputError
from edge_sam.export import onnx_writer
from edge_sam.export.checkpoint import Weights
from edge_sam.export.edgetam import EDGETAM
from edge_sam.export.onnx_writer import to_onnx
from edge_sam.export.repvit import AUTHORS_NAMES, Block, TokenMixer
from edge_sam.export.torch_model import TorchModel, load_model

TRUNK = "image_encoder.trunk.body"
WIDTHS = (8, 16, 32, 64)
DEPTHS = (2, 1, 3, 1)


def add_conv(tensors: Tensors, name: str, inputs: int, outputs: int, size: int) -> None:
    """Add a convolution with a batch norm to a checkpoint."""
    generator = torch.Generator().manual_seed(len(tensors))
    draw = torch.randn(5, outputs, generator=generator)
    kernel = torch.randn(outputs, inputs, size, size, generator=generator)
    tensors[f"{name}.c.weight"] = kernel / (inputs * size * size) ** 0.5
    norm = (1 + 0.1 * draw[0], 0.1 * draw[1], 0.3 * draw[2], 0.5 + draw[3].abs(), torch.tensor(7))
    parts = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    tensors.update({f"{name}.bn.{part}": value for part, value in zip(parts, norm, strict=True)})


def add_block(tensors: Tensors, name: str, width: int, excited: bool) -> None:
    add_conv(tensors, f"{name}.token_mixer.conv", 1, width, 3)
    add_conv(tensors, f"{name}.token_mixer.conv1", 1, width, 1)
    for part, inputs, outputs in (("fc1", width, 16), ("fc2", 16, width)) if excited else ():
        generator = torch.Generator().manual_seed(len(tensors))
        weight = torch.randn(outputs, inputs, 1, 1, generator=generator)
        tensors[f"{name}.se.{part}.weight"] = 3 * weight / inputs**0.5
        tensors[f"{name}.se.{part}.bias"] = torch.randn(outputs, generator=generator)
    add_perceptron(tensors, f"{name}.channel_mixer", width)


def add_perceptron(tensors: Tensors, name: str, width: int) -> None:
    add_conv(tensors, f"{name}.conv1", width, 2 * width, 1)
    add_conv(tensors, f"{name}.conv2", 2 * width, width, 1)


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    """A checkpoint with EdgeTAM's official names and a narrow trunk."""
    found = {name: x for name, x in random_tensors(WIDTHS[0]).items() if ".trunk." not in name}
    found["spatial_perceiver.latents"] = torch.zeros(2)
    add_conv(found, f"{TRUNK}.stem.conv1", 3, WIDTHS[0] // 2, 3)
    add_conv(found, f"{TRUNK}.stem.conv2", WIDTHS[0] // 2, WIDTHS[0], 3)
    for i, (width, depth) in enumerate(zip(WIDTHS, DEPTHS, strict=True)):
        stage = f"{TRUNK}.stages_{i}"
        if i:
            add_block(found, f"{stage}.downsample.pre_block", WIDTHS[i - 1], excited=False)
            add_conv(found, f"{stage}.downsample.spatial_downsample", 1, WIDTHS[i - 1], 3)
            add_conv(found, f"{stage}.downsample.channel_downsample", WIDTHS[i - 1], width, 1)
            add_perceptron(found, f"{stage}.downsample.ffn", width)
        for j in range(depth):
            add_block(found, f"{stage}.blocks.{j}", width, excited=j % 2 == 0)
    return found


@pytest.fixture(scope="module")
def model(tensors: Tensors, tmp_path_factory: pytest.TempPathFactory) -> TorchModel:
    path = tmp_path_factory.mktemp("edgetam") / "random.pt"
    torch.save({"model": tensors}, path)
    family, model = load_model(path)
    assert family is EDGETAM
    return model


def conv(t: Tensors, name: str, x: Tensor, stride: int = 1) -> Tensor:
    """A convolution and its batch norm, one after the other. It is depthwise where the kernel has one input."""
    kernel = t[f"{name}.c.weight"]
    groups = len(kernel) if kernel.shape[1] == 1 else 1
    x = F.conv2d(x, kernel, None, stride, kernel.shape[2] // 2, groups=groups)
    return norm(t, f"{name}.bn", x)


def norm(t: Tensors, name: str, x: Tensor) -> Tensor:
    mean, variance, gain, bias = (t[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, mean, variance, gain, bias)


def perceptron(t: Tensors, name: str, x: Tensor) -> Tensor:
    return x + conv(t, f"{name}.conv2", F.gelu(conv(t, f"{name}.conv1", x)))


def block(t: Tensors, name: str, x: Tensor) -> Tensor:
    x = conv(t, f"{name}.token_mixer.conv", x) + conv(t, f"{name}.token_mixer.conv1", x) + x
    if f"{name}.se.fc1.weight" in t:
        hidden = F.relu(F.conv2d(x.mean((2, 3), keepdim=True), t[f"{name}.se.fc1.weight"], t[f"{name}.se.fc1.bias"]))
        x = x * F.conv2d(hidden, t[f"{name}.se.fc2.weight"], t[f"{name}.se.fc2.bias"]).sigmoid()
    return perceptron(t, f"{name}.channel_mixer", x)


def trunk(t: Tensors, image: Tensor) -> list[Tensor]:
    """RepViT as its paper trains it, with all branches apart. Channels-first stages."""
    x, stages = F.gelu(conv(t, f"{TRUNK}.stem.conv1", image, 2)), []
    x = conv(t, f"{TRUNK}.stem.conv2", x, 2)
    for i, depth in enumerate(DEPTHS):
        down = f"{TRUNK}.stages_{i}.downsample"
        if i:
            x = conv(t, f"{down}.spatial_downsample", block(t, f"{down}.pre_block", x), 2)
            x = perceptron(t, f"{down}.ffn", conv(t, f"{down}.channel_downsample", x))
        for j in range(depth):
            x = block(t, f"{TRUNK}.stages_{i}.blocks.{j}", x)
        stages.append(x)
    return stages


@torch.no_grad()
def test_the_encoder_is_repvit_with_sam_2s_pyramid(
    model: TorchModel, tensors: Tensors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The modules against the formulas, and the graph, traced at another size, against the modules."""
    image = torch.randn(1, 3, 96, 160, generator=torch.Generator().manual_seed(0))
    lateral = []
    for i, stage in enumerate(trunk(tensors, image)):
        name = f"image_encoder.neck.convs.{3 - i}.conv"
        lateral.append(F.conv2d(stage, tensors[f"{name}.weight"], tensors[f"{name}.bias"]))
    embedding = lateral[2] + F.interpolate(lateral[3], scale_factor=2.0, mode="nearest")
    expected = [embedding + tensors["no_mem_embed"].view(1, 256, 1, 1)]
    for i, layer in ((0, 3), (1, 0)):
        weight, bias = (tensors[f"sam_mask_decoder.conv_s{i}.{part}"] for part in ("weight", "bias"))
        upscaling = tensors[f"sam_mask_decoder.output_upscaling.{layer}.bias"].view(1, -1, 1, 1)
        expected.append(F.conv2d(lateral[i], weight, bias) + upscaling)
    outputs = model.encoder(image)
    for ours, theirs in zip(outputs, expected, strict=True):
        error = float((ours.permute(0, 3, 1, 2) - theirs).abs().max())
        assert error < 1e-5 * float(theirs.abs().max())
    monkeypatch.setitem(onnx_writer._EXAMPLES, "height", 64)
    monkeypatch.setitem(onnx_writer._EXAMPLES, "width", 64)
    graph = to_onnx("encoder", model.encoder, False, EDGETAM.contract)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for ours, theirs in zip(session.run(None, {"image": image.numpy()}), outputs, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5 * float(theirs.abs().max()))


@torch.no_grad()
def test_a_batch_norm_after_the_sum_is_folded_too() -> None:
    """RepViT-SAM's token mixers: the 1×1 convolution has a bias, and one batch norm follows the sum."""
    tensors: Tensors = {}
    add_conv(tensors, "mixer.conv", 1, 8, 3)
    add_conv(tensors, "mixer", 1, 8, 1)
    tensors["mixer.conv1.weight"] = tensors.pop("mixer.c.weight")
    tensors["mixer.conv1.bias"] = torch.randn(8, generator=torch.Generator().manual_seed(0))
    x = torch.randn(1, 8, 9, 7, generator=torch.Generator().manual_seed(1))
    branches = conv(tensors, "mixer.conv", x) + x
    branches = branches + F.conv2d(x, tensors["mixer.conv1.weight"], tensors["mixer.conv1.bias"], groups=8)
    expected = norm(tensors, "mixer.bn", branches)
    assert float((TokenMixer(Weights(tensors), "mixer", 8)(x) - expected).abs().max()) < 1e-5


@torch.no_grad()
def test_a_block_with_the_names_of_repvits_authors() -> None:
    tensors: Tensors = {}
    add_block(tensors, "block", 8, excited=True)
    x = torch.randn(1, 8, 9, 7, generator=torch.Generator().manual_seed(1))
    numbered = {
        name.replace(".token_mixer.", ".token_mixer.0.")
        .replace(".se.", ".token_mixer.1.")
        .replace(".channel_mixer.conv1.", ".channel_mixer.m.0.")
        .replace(".channel_mixer.conv2.", ".channel_mixer.m.2."): value
        for name, value in tensors.items()
    }
    for theirs, ours in AUTHORS_NAMES:
        numbered = {name.replace(theirs, ours): value for name, value in numbered.items()}
    weights = Weights(numbered)
    assert float((Block(weights, "block", 8)(x) - block(tensors, "block", x)).abs().max()) < 1e-5
    weights.ignore("", suffix=".num_batches_tracked")
    weights.finish()


def test_a_trunk_without_tensors_names_what_is_missing(tensors: Tensors, tmp_path: Path) -> None:
    short = {k: v for k, v in tensors.items() if "stages_2.downsample.channel" not in k}
    torch.save(short, tmp_path / "short.pt")
    with pytest.raises(InputError, match=r"missing: .*stages_2\.downsample\.channel_downsample\.c\.weight"):
        load_model(tmp_path / "short.pt")
