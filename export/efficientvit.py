"""EfficientViT-SAM (arXiv 2402.05008): its image encoder, written for export, and its families.

It gives the same results as the training code, with these changes:

- depths and widths are read from the tensors, so one module serves L0 to XL1;
- batch norms are folded into the convolutions before them;
- bicubic enlargement is by whole factors, so height and width of the input are free.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge_sam.bundles.contract import CHANNELS, Contract
from edge_sam.export.bicubic import enlarge
from edge_sam.export.checkpoint import Weights
from edge_sam.export.convolution import batch_norm
from edge_sam.export.family import Family
from edge_sam.export.layers import Norm, parameter
from edge_sam.export.mask_decoder import MaskDecoder
from edge_sam.imaging.view import Fit

_EPS = 1e-6
_LINEAR_EPS = 1e-15
"""Added to the divisor of linear attention."""
_BLOCKS = (("conv1", "conv2"), ("spatial_conv", "point_conv"), ("inverted_conv", "depth_conv", "point_conv"))
"""Convolutions of the three kinds of local blocks: residual, fused and plain inverted bottleneck."""


def gelu(x: Tensor) -> Tensor:
    """Return the form of GELU that the encoder was trained with."""
    return F.gelu(x, approximate="tanh")


class Conv(nn.Module):
    """A convolution with the batch norm that may follow it. (1, C, H, W) to (1, C', H / stride, W / stride)."""

    def __init__(self, weights: Weights, name: str, stride: int = 1) -> None:
        super().__init__()
        shape = weights.shape(f"{name}.conv.weight") or (1, 1, 1, 1)
        outputs, inputs, size, _ = shape
        kernel, bias = weights.take(f"{name}.conv.weight", *shape).double(), torch.zeros(outputs).double()
        if weights.shape(f"{name}.conv.bias"):
            bias = weights.take(f"{name}.conv.bias", outputs).double()
        if weights.shape(f"{name}.norm.weight"):
            scale, shift = batch_norm(weights, f"{name}.norm", outputs, _EPS)
            kernel, bias = kernel * scale[:, None, None, None], bias * scale + shift
        self.weight, self.bias = parameter(kernel.float()), parameter(bias.float())
        self.stride, self.padding, self.depthwise = stride, size // 2, inputs == 1

    def forward(self, x: Tensor) -> Tensor:
        groups = len(self.weight) if self.depthwise else 1
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, groups=groups)


class LocalBlock(nn.Module):
    """Convolutions with activations between them, and the input added where there is no stride. (1, C, H, W)."""

    def __init__(self, weights: Weights, name: str, stride: int = 1) -> None:
        super().__init__()
        kind = next((kind for kind in _BLOCKS if weights.shape(f"{name}.{kind[0]}.conv.weight")), _BLOCKS[0])
        strided = "depth_conv" if "depth_conv" in kind else kind[0]
        self.convs = nn.ModuleList([Conv(weights, f"{name}.{part}", stride if part == strided else 1) for part in kind])
        self.residual = stride == 1

    def forward(self, x: Tensor) -> Tensor:
        y = self.convs[0](x)
        for conv in self.convs[1:]:
            y = conv(gelu(y))
        output: Tensor = x + y if self.residual else y
        return output


class LinearAttention(nn.Module):
    """Attention with ReLU instead of softmax, at two scales, and the input added. (1, C, H, W) throughout.

    Channels hold queries, keys and values head by head.
    """

    def __init__(self, weights: Weights, name: str) -> None:
        super().__init__()
        self.qkv = Conv(weights, f"{name}.qkv")
        channels, _, size, _ = weights.shape(f"{name}.aggreg.0.0.weight") or (0, 1, 1, 1)
        self.depth = (weights.shape(f"{name}.aggreg.0.1.weight") or (0, 1))[1]
        self.spatial = parameter(weights.take(f"{name}.aggreg.0.0.weight", channels, 1, size, size))
        self.mix = parameter(weights.take(f"{name}.aggreg.0.1.weight", channels, self.depth, 1, 1))
        self.project = Conv(weights, f"{name}.proj")

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(x)
        channels = len(self.spatial)
        wide = F.conv2d(qkv, self.spatial, padding=self.spatial.shape[2] // 2, groups=channels)
        wide = F.conv2d(wide, self.mix, groups=channels // self.depth)
        heads = torch.cat([qkv, wide], dim=1).flatten(2).view(2 * channels // (3 * self.depth), 3 * self.depth, -1)
        query, key, value = torch.split(heads, self.depth, dim=1)
        query, key = F.relu(query), F.relu(key).transpose(1, 2)
        divisor = key.sum(dim=1, keepdim=True) @ query + _LINEAR_EPS
        mixed = (value @ key) @ query / divisor
        output: Tensor = x + self.project(mixed.view(1, -1, x.shape[2], x.shape[3]))
        return output


class EfficientViTEncoder(nn.Module):
    """The image encoder.

    Input: (1, 3, H, W) float32, normalised RGB, H and W multiples of the last stage's stride.
    Output: (1, H / s, W / s, 256) float32, channels-last image embedding, s being the stride of the last stage but two.
    """

    def __init__(self, weights: Weights, name: str = "image_encoder") -> None:
        super().__init__()
        self.stem = Conv(weights, f"{name}.backbone.stages.0.op_list.0", 2)
        self.stages = nn.ModuleList([nn.Sequential(*_blocks(weights, f"{name}.backbone.stages.0.op_list", 1))])
        while weights.shape(f"{name}.backbone.stages.{len(self.stages)}.op_list.0.main.point_conv.conv.weight"):
            stage = f"{name}.backbone.stages.{len(self.stages)}.op_list"
            first = LocalBlock(weights, f"{stage}.0.main", 2)
            self.stages.append(nn.Sequential(first, *_blocks(weights, stage, 1)))
        self.laterals = nn.ModuleList([Conv(weights, f"{name}.neck.input_ops.{i}.op_list.0") for i in range(3)])
        self.middle = nn.Sequential(*_blocks(weights, f"{name}.neck.middle.op_list", 0))
        self.output = Conv(weights, f"{name}.neck.output_ops.0.op_list.0")
        self.norm = Norm(weights, f"{name}.norm", CHANNELS, _EPS)
        weights.ignore(f"{name}.", suffix=".num_batches_tracked")

    def forward(self, image: Tensor) -> Tensor:
        x, stages = gelu(self.stem(image)), []
        for stage in self.stages:
            x = stage(x)
            stages.append(x)
        coarse, middle, fine = (
            lateral(stage).permute(0, 2, 3, 1) for lateral, stage in zip(self.laterals, stages[:-4:-1], strict=True)
        )
        x = fine + enlarge(middle, 2) + enlarge(coarse, 4)
        x = self.output(self.middle(x.permute(0, 3, 1, 2)))
        embedding: Tensor = self.norm(x.permute(0, 2, 3, 1))
        return embedding


def _blocks(weights: Weights, name: str, first: int) -> Sequence[nn.Module]:
    """Return the blocks without stride of a stage, from number `first` on."""
    blocks: list[nn.Module] = []
    while True:
        block = f"{name}.{first}"
        if weights.shape(f"{block}.context_module.main.qkv.conv.weight"):
            blocks.append(LinearAttention(weights, f"{block}.context_module.main"))
            blocks.append(LocalBlock(weights, f"{block}.local_module.main"))
        elif any(weights.shape(f"{block}.main.{kind[0]}.conv.weight") for kind in _BLOCKS):
            blocks.append(LocalBlock(weights, f"{block}.main"))
        else:
            return blocks
        first += 1


class EfficientViTMaskDecoder(MaskDecoder):
    """SAM's mask decoder, whose norms have another epsilon here."""

    def __init__(self, weights: Weights) -> None:
        super().__init__(weights)
        for module in self.modules():
            if isinstance(module, Norm):
                module.eps = _EPS


EFFICIENTVIT_SAM = Family(
    name="efficientvit-sam",
    title="EfficientViT-SAM",
    mark="image_encoder.backbone.stages.0.op_list.0.conv.weight",
    url="https://github.com/mit-han-lab/efficientvit",
    license="Apache-2.0",
    notice="""\
EfficientViT-SAM, copyright its authors (Zhuoyang Zhang and others), Apache License 2.0.
It contains work of Segment Anything, copyright Meta Platforms, Inc. and affiliates, Apache License 2.0.""",
    licenses=("Apache-2.0.txt",),
    encoder=EfficientViTEncoder,
    decoder=EfficientViTMaskDecoder,
    contract=Contract(
        fit=Fit(multiple=64, reduction=2), square=True, weighted_tokens=True, separate_upscaling=True
    ),  # docs/lab/families.md
)
"""L0 to L2, which see the photograph at half the size of the frame."""
EFFICIENTVIT_SAM_XL = dataclasses.replace(
    EFFICIENTVIT_SAM,
    title="EfficientViT-SAM XL",
    mark="image_encoder.backbone.stages.5.op_list.0.main.inverted_conv.conv.weight",
    contract=Contract(fit=Fit(multiple=64), square=True, weighted_tokens=True, separate_upscaling=True),
)
"""XL0 and XL1."""
