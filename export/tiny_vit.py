"""TinyViT image encoder of MobileSAM, written for export.

The network is TinyViT-5M (arXiv 2207.10666) as used by MobileSAM (arXiv 2306.14289). It gives the same results as the
training code, with these changes:

- batch norms are folded into the convolutions before them;
- the affine part of each attention LayerNorm and the softmax scale are folded into the projection to
  queries, keys and values, so that a padded token is exactly zero where it is padded;
- tokens stay channels-last, (1, height, width, channels), outside the convolutions;
- height and width of the input may be any multiples of 16.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge_sam.export.checkpoint import Weights
from edge_sam.export.convolution import FoldedConv
from edge_sam.export.family import Family
from edge_sam.export.layers import Linear, Norm, parameter
from edge_sam.export.neck import Neck

_WIDTHS = (64, 128, 160, 320)
_DEPTHS = (2, 2, 6, 2)
_HEADS = (2, 4, 5, 10)
_WINDOWS = (7, 7, 14, 7)
# Stage 3 keeps the resolution of stage 2, because SAM uses 16 pixels per token, not 32.
_MERGE_STRIDES = (2, 2, 1)


class MBConv(nn.Module):
    """Inverted residual block: expand, depthwise, project, add. (1, C, H, W) throughout."""

    def __init__(self, weights: Weights, name: str, width: int) -> None:
        super().__init__()
        hidden = 4 * width
        self.expand = FoldedConv(weights, f"{name}.conv1", (width, hidden), 1)
        self.depthwise = FoldedConv(weights, f"{name}.conv2", (hidden, hidden), 3, groups=hidden)
        self.project = FoldedConv(weights, f"{name}.conv3", (hidden, width), 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.gelu(self.depthwise(F.gelu(self.expand(x))))
        return F.gelu(x + self.project(hidden))


class PatchMerging(nn.Module):
    """Between two stages: change the width and, with stride 2, halve the resolution. NCHW."""

    def __init__(self, weights: Weights, name: str, channels: tuple[int, int], stride: int) -> None:
        super().__init__()
        inputs, outputs = channels
        self.expand = FoldedConv(weights, f"{name}.conv1", (inputs, outputs), 1)
        self.depthwise = FoldedConv(weights, f"{name}.conv2", (outputs, outputs), 3, stride, groups=outputs)
        self.project = FoldedConv(weights, f"{name}.conv3", (outputs, outputs), 1)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.project(F.gelu(self.depthwise(F.gelu(self.expand(x)))))
        return output


class WindowAttention(nn.Module):
    """Multi-head attention in square windows with a learned bias by offset. Channels-last tokens.

    Padded tokens of the last windows are keys too, as in training. They are zero after normalisation without the affine
    part. The bias of the keys adds the same number to all scores of a query, which softmax ignores, so it is dropped.
    The bias of the values passes through unchanged, because attention weights sum to one, so it is folded into the
    output projection.
    """

    bias_index: Tensor

    def __init__(self, weights: Weights, name: str, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.width, self.heads, self.window = width, heads, window
        gain, shift = weights.take(f"{name}.norm.weight", width), weights.take(f"{name}.norm.bias", width)
        weight = weights.take(f"{name}.qkv.weight", 3 * width, width).double()
        bias = weights.take(f"{name}.qkv.bias", 3 * width).double() + weight @ shift.double()
        # Upstream interleaves queries, keys and values head by head.
        query, key, value = (weight * gain.double()).view(heads, 3, -1, width).transpose(0, 1).reshape(3, width, width)
        query_bias, _, value_bias = bias.view(heads, 3, -1).transpose(0, 1).reshape(3, width)
        scale = (width // heads) ** -0.5
        self.query_weight = parameter((query * scale).float())
        self.query_bias = parameter((query_bias * scale).float())
        self.key_weight, self.value_weight = parameter(key.float()), parameter(value.float())
        out = weights.take(f"{name}.proj.weight", width, width)
        out_bias = weights.take(f"{name}.proj.bias", width).double() + out.double() @ value_bias
        self.out_weight, self.out_bias = parameter(out), parameter(out_bias.float())
        self.bias_table = parameter(weights.take(f"{name}.attention_biases", heads, window * window))
        self.register_buffer("bias_index", _offset_index(window), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        _, height, width, channels = x.shape
        size = self.window
        bottom, right = (-height) % size, (-width) % size
        rows, columns = (height + bottom) // size, (width + right) // size
        x = F.pad(F.layer_norm(x, (self.width,), eps=1e-5), (0, 0, 0, right, 0, bottom))
        x = x.view(rows, size, columns, size, channels).transpose(1, 2).reshape(-1, size * size, channels)

        query = self._split_heads(F.linear(x, self.query_weight, self.query_bias))
        key, value = (self._split_heads(F.linear(x, weight)) for weight in (self.key_weight, self.value_weight))
        scores = query @ key.transpose(-2, -1) + self.bias_table[:, self.bias_index]
        x = (scores.softmax(dim=-1) @ value).transpose(1, 2).reshape(-1, size * size, channels)

        x = x.view(rows, columns, size, size, channels).transpose(1, 2)
        x = x.reshape(1, rows * size, columns * size, channels)[:, :height, :width]
        return F.linear(x, self.out_weight, self.out_bias)

    def _split_heads(self, x: Tensor) -> Tensor:
        """(windows, size², C) to (windows, heads, size², C / heads)."""
        return x.view(-1, self.window * self.window, self.heads, self.width // self.heads).transpose(1, 2)


class TransformerBlock(nn.Module):
    """Window attention, depthwise convolution, perceptron. (1, H, W, C) throughout."""

    def __init__(self, weights: Weights, name: str, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.attention = WindowAttention(weights, f"{name}.attn", width, heads, window)
        self.local_conv = FoldedConv(weights, f"{name}.local_conv", (width, width), 3, groups=width)
        self.norm = Norm(weights, f"{name}.mlp.norm", width)
        self.fc1 = Linear(weights, f"{name}.mlp.fc1", width, 4 * width)
        self.fc2 = Linear(weights, f"{name}.mlp.fc2", 4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(x)
        x = self.local_conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        # With one token axis instead of two, OpenVINO fuses the activation into the product (docs/lab/performance.md).
        tokens = x.reshape(1, -1, x.shape[3])
        output: Tensor = tokens + self.fc2(F.gelu(self.fc1(self.norm(tokens))))
        return output.view(x.shape)


class TinyViTEncoder(nn.Module):
    """The image encoder.

    Input: (1, 3, H, W) float32, normalised RGB, H and W multiples of 16.
    Output: (1, H / 16, W / 16, 256) float32, channels-last image embedding.
    """

    def __init__(self, weights: Weights, name: str = "image_encoder") -> None:
        super().__init__()
        first = _WIDTHS[0]
        self.stem = nn.ModuleList(
            [
                FoldedConv(weights, f"{name}.patch_embed.seq.0", (3, first // 2), 3, 2),
                FoldedConv(weights, f"{name}.patch_embed.seq.2", (first // 2, first), 3, 2),
            ]
        )
        self.convs = nn.ModuleList([MBConv(weights, f"{name}.layers.0.blocks.{i}", first) for i in range(_DEPTHS[0])])
        self.merges = nn.ModuleList(
            [
                PatchMerging(weights, f"{name}.layers.{i}.downsample", (_WIDTHS[i], _WIDTHS[i + 1]), stride)
                for i, stride in enumerate(_MERGE_STRIDES)
            ]
        )
        self.stages = nn.ModuleList(
            [
                nn.Sequential(
                    *[
                        TransformerBlock(weights, f"{name}.layers.{i}.blocks.{j}", _WIDTHS[i], _HEADS[i], _WINDOWS[i])
                        for j in range(_DEPTHS[i])
                    ]
                )
                for i in (1, 2, 3)
            ]
        )
        self.neck = Neck(weights, f"{name}.neck", _WIDTHS[-1])
        # TinyViT's pretraining classifier, and batch-norm counters.
        weights.ignore(f"{name}.norm_head.")
        weights.ignore(f"{name}.head.")
        weights.ignore(f"{name}.", suffix=".bn.num_batches_tracked")

    def trunk(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the last tokens, and those that each of the three stages with attention takes. Channels-last."""
        x = self.stem[1](F.gelu(self.stem[0](image)))
        for conv in self.convs:
            x = conv(x)
        taken: list[Tensor] = []
        for merge, stage in zip(self.merges, self.stages, strict=True):
            taken.append(merge(x).permute(0, 2, 3, 1))
            tokens = stage(taken[-1])
            x = tokens.permute(0, 3, 1, 2)
        return tokens, taken

    def forward(self, image: Tensor) -> Tensor:
        embedding: Tensor = self.neck(self.trunk(image)[0])
        return embedding


def _offset_index(window: int) -> Tensor:
    """Return the (window², window²) index into the bias table: absolute offsets in order of first appearance."""
    points = list(itertools.product(range(window), range(window)))
    order: dict[tuple[int, int], int] = {}
    index = [order.setdefault((abs(a[0] - b[0]), abs(a[1] - b[1])), len(order)) for a in points for b in points]
    return torch.tensor(index, dtype=torch.int64).view(window * window, window * window)


MOBILE_SAM = Family(
    name="mobile-sam",
    title="MobileSAM",
    mark="image_encoder.patch_embed.seq.0.c.weight",
    url="https://github.com/ChaoningZhang/MobileSAM",
    license="Apache-2.0",
    notice="""\
MobileSAM, copyright its authors (Chaoning Zhang and others), Apache License 2.0.
It contains work of Segment Anything, copyright Meta Platforms, Inc. and affiliates, Apache License 2.0, and of
TinyViT, copyright (c) Microsoft Corporation, MIT License (below).""",
    licenses=("Apache-2.0.txt", "MIT-TinyViT.txt"),
    encoder=TinyViTEncoder,
)
