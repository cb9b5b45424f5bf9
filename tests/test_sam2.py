"""SAM 2: its modules against plain formulas, and its graphs against its modules, with seeded random weights."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import onnxruntime
import pytest
import torch
from sam2_formulas import Tensors, decode, hiera, layer_norm, random_tensors
from torch import Tensor
from torch.nn import functional as F

from edge_sam.bundles.contract import Role
from edge_sam.errors import InputError
from edge_sam.export import onnx_writer
from edge_sam.export.families import find_family
from edge_sam.export.hiera import Hiera
from edge_sam.export.onnx_writer import to_onnx
from edge_sam.export.sam2 import SAM2
from edge_sam.export.sam2_decoder import Sam2MaskDecoder
from edge_sam.export.sam2_encoder import Sam2Encoder
from edge_sam.export.torch_model import TorchModel, load_model


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    return random_tensors()


@pytest.fixture(scope="module")
def model(tensors: Tensors, tmp_path_factory: pytest.TempPathFactory) -> TorchModel:
    path = tmp_path_factory.mktemp("sam2") / "random.pt"
    torch.save({"model": tensors}, path)
    family, model = load_model(path)
    assert family is SAM2
    return model


def picture(height: int, width: int) -> Tensor:
    return torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(height))


@torch.no_grad()
def test_the_encoder_is_hiera_with_its_pyramid(model: TorchModel, tensors: Tensors) -> None:
    """The grid of stage 3, 8×18, leaves windows of 14 and 7 partly empty on both axes."""
    image = picture(128, 288)
    stages = hiera(tensors, image)
    lateral = []
    for i, stage in enumerate(stages):
        name = f"image_encoder.neck.convs.{3 - i}.conv"
        lateral.append(F.conv2d(stage, tensors[f"{name}.weight"], tensors[f"{name}.bias"]))
    embedding = lateral[2] + F.interpolate(lateral[3], scale_factor=2.0, mode="nearest")
    expected = [embedding + tensors["no_mem_embed"].view(1, 256, 1, 1)]
    for i, layer in ((0, 3), (1, 0)):
        weight, conv_bias = (tensors[f"sam_mask_decoder.conv_s{i}.{part}"] for part in ("weight", "bias"))
        bias = tensors[f"sam_mask_decoder.output_upscaling.{layer}.bias"]
        expected.append(F.conv2d(lateral[i], weight, conv_bias) + bias.view(1, -1, 1, 1))
    for ours, theirs in zip(model.encoder(image), expected, strict=True):
        assert float((ours.permute(0, 3, 1, 2) - theirs).abs().max()) < 2e-4


@torch.no_grad()
def test_position_encoding_of_any_grid(model: TorchModel) -> None:
    position = cast(Sam2MaskDecoder, model.decoder).position
    assert float((position.free_grid(64, 64) - position.grid()).abs().max()) < 1e-4
    y, x = torch.meshgrid((torch.arange(3) + 0.5) / 3, (torch.arange(5) + 0.5) / 5, indexing="ij")
    assert float((position.free_grid(3, 5) - position(torch.stack([x, y], -1).view(15, 2))).abs().max()) < 1e-4


@torch.no_grad()
def test_the_position_embedding_is_bicubic(model: TorchModel, tensors: Tensors) -> None:
    trunk = cast(Hiera, cast(Sam2Encoder, model.encoder).trunk)
    ours = trunk.position(torch.zeros(1, 24, 40, 96))
    name = "image_encoder.trunk.pos_embed"
    theirs = F.interpolate(tensors[name], size=(24, 40), mode="bicubic") + tensors[f"{name}_window"].tile(1, 1, 3, 5)
    assert float((ours.permute(0, 3, 1, 2) - theirs).abs().max()) < 1e-4


def prompts(count: int) -> list[tuple[Tensor, Tensor]]:
    """Mixes of points and boxes in a frame of 96×64, each with the "not a point" that upstream adds."""
    generator = torch.Generator().manual_seed(count)
    mixes = [[1], [1, 0, 1], [0], [2, 3], [2, 3, 1, 0], []]
    return [
        (
            torch.rand(count, len(mix) + 1, 2, generator=generator) * torch.tensor([96.0, 64.0]),
            torch.tensor([[*mix, -1 if mix else -2]] * count),
        )
        for mix in mixes
    ]


@torch.no_grad()
@pytest.mark.parametrize("masked", [False, True])
def test_the_decoder_is_the_two_way_transformer(model: TorchModel, tensors: Tensors, masked: bool) -> None:
    embedding, *features = model.encoder(picture(64, 96))
    image = embedding + model.no_mask
    if masked:
        mask = 8 * torch.randn(1, 16, 24, generator=torch.Generator().manual_seed(1))
        image = model.mask_encoder(embedding, mask)
        name, x = "sam_prompt_encoder.mask_downscaling", mask[:, None]
        for i in (0, 3):
            x = F.conv2d(x, tensors[f"{name}.{i}.weight"], tensors[f"{name}.{i}.bias"], stride=2).permute(0, 2, 3, 1)
            x = F.gelu(layer_norm(tensors, f"{name}.{i + 1}", x, 1e-6)).permute(0, 3, 1, 2)
        x = F.conv2d(x, tensors[f"{name}.6.weight"], tensors[f"{name}.6.bias"])
        assert float((image - embedding - x.permute(0, 2, 3, 1)).abs().max()) < 1e-4
    first = [x.permute(0, 3, 1, 2) for x in (image, *features)]
    for coords, labels in prompts(1):
        logits, scores = model.decoder(image, *features, coords, labels)
        present = labels[0] > -2
        expected = decode(tensors, first[0], first[1:], coords[0][present], labels[0][present])
        assert float((logits[0] - expected[0]).abs().max()) < 1e-3
        assert float((scores[0] - expected[1]).abs().max()) < 1e-4


@pytest.mark.thorough
@torch.no_grad()
def test_the_graphs_are_the_modules(model: TorchModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced at one size and run at others."""
    monkeypatch.setitem(onnx_writer._EXAMPLES, "height", 64)
    monkeypatch.setitem(onnx_writer._EXAMPLES, "width", 128)

    def agree(role: Role, *inputs: Tensor) -> tuple[Tensor, ...]:
        outputs = getattr(model, role)(*inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        named = zip(SAM2.contract.inputs[role], (x.numpy() for x in inputs), strict=True)
        ours = sessions[role].run(list(SAM2.contract.outputs[role]), dict(named))
        for mine, theirs in zip(ours, outputs, strict=True):
            np.testing.assert_allclose(mine, theirs.numpy(), atol=1e-3)
        return outputs

    sessions = {}
    for role in ("encoder", "mask_encoder", "decoder"):
        graph = to_onnx(role, getattr(model, role), False, SAM2.contract)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        sessions[role] = onnxruntime.InferenceSession(
            graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    for count, size in ((1, (64, 96)), (3, (96, 32)), (2, (224, 256))):
        embedding, *features = agree("encoder", picture(*size))
        mask = torch.randn(count, size[0] // 4, size[1] // 4, generator=torch.Generator().manual_seed(0))
        (masked,) = agree("mask_encoder", embedding, mask)
        for coords, labels in prompts(count):
            for image in (embedding + model.no_mask, masked):
                agree("decoder", image, *features, coords, labels)


def test_refuses_another_hiera(tensors: Tensors, tmp_path: Path) -> None:
    torch.save({k: v for k, v in tensors.items() if "trunk.blocks.11." not in k}, tmp_path / "short.pt")
    with pytest.raises(InputError, match=r"Hiera has 11 blocks of width 96; SAM 2's have 12 of width 96, 16 of width"):
        load_model(tmp_path / "short.pt")
    assert find_family(tensors, tmp_path) is SAM2
