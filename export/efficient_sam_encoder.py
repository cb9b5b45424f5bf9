"""EfficientSAM's image encoder (arXiv 2312.00863), a plain ViT, written for export.

It gives the same results as the training code, with these changes:

- tokens stay channels-last after the first convolution;
- the softmax scale is folded into the queries, and the biases of keys and values are dropped or folded into the output
  projection;
- the position embedding is enlarged for the size of the input with two matrix products;
- height and width of the input may be any multiples of 16. Upstream takes 1024×1024 only.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge_sam.export.bicubic import BORDER, taps
from edge_sam.export.checkpoint import Weights
from edge_sam.export.layers import parameter
from edge_sam.export.neck import Neck
from edge_sam.export.transformer_block import TransformerBlock
from edge_sam.imaging.view import TOKEN

_PERCEPTRON = ("mlp.fc1", "mlp.fc2")
_HEAD = 64
_SIDE = 14
"""Tokens along a side of the image in pretraining, whose class token is not used."""


class Attention(nn.Module):
    """Multi-head attention between all tokens. (1, rows, columns, width) throughout."""

    def __init__(self, weights: Weights, name: str, width: int) -> None:
        super().__init__()
        query, key, value = weights.take(f"{name}.qkv.weight", 3 * width, width).view(3, width, width)
        query_bias, _, value_bias = weights.take(f"{name}.qkv.bias", 3 * width).view(3, width)
        scale = _HEAD**-0.5
        self.query_weight, self.query_bias = parameter(query * scale), parameter(query_bias * scale)
        self.key_weight, self.value_weight = parameter(key), parameter(value)
        out = weights.take(f"{name}.proj.weight", width, width)
        out_bias = weights.take(f"{name}.proj.bias", width).double() + out.double() @ value_bias.double()
        self.out_weight, self.out_bias = parameter(out), parameter(out_bias.float())

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.view(-1, x.shape[3])
        query = F.linear(tokens, self.query_weight, self.query_bias)
        key, value = F.linear(tokens, self.key_weight), F.linear(tokens, self.value_weight)
        # Head by head, because the scores of 4096 tokens need 64 MiB for each.
        heads = zip(*(torch.split(each, _HEAD, dim=1) for each in (query, key, value)), strict=True)
        mixed = torch.cat([(q @ k.t()).softmax(dim=-1) @ v for q, k, v in heads], dim=1)
        return F.linear(mixed, self.out_weight, self.out_bias).view(x.shape)


class EfficientSamEncoder(nn.Module):
    """The image encoder.

    Input: (1, 3, H, W) float32, normalised RGB, H and W multiples of 16.
    Output: (1, H / 16, W / 16, 256) float32, channels-last image embedding.
    """

    def __init__(self, weights: Weights, name: str = "image_encoder") -> None:
        super().__init__()
        width, depth = (weights.shape(f"{name}.patch_embed.proj.weight") or (0,))[0], 0
        while weights.shape(f"{name}.blocks.{depth}.norm1.weight"):
            depth += 1
        self.patch_weight = parameter(weights.take(f"{name}.patch_embed.proj.weight", width, 3, TOKEN, TOKEN))
        self.patch_bias = parameter(weights.take(f"{name}.patch_embed.proj.bias", width))
        position = weights.take(f"{name}.pos_embed", 1, 1 + _SIDE**2, width)[0, 1:].t().view(1, width, _SIDE, _SIDE)
        position = F.pad(position, [BORDER] * 4, mode="replicate")[0].permute(1, 2, 0)
        self.position = parameter(position.reshape(_SIDE + 2 * BORDER, -1))
        blocks = [f"{name}.blocks.{i}" for i in range(depth)]
        self.blocks = nn.Sequential(
            *(TransformerBlock(weights, b, Attention(weights, f"{b}.attn", width), _PERCEPTRON, width) for b in blocks)
        )
        self.neck = Neck(weights, f"{name}.neck", width)

    def forward(self, image: Tensor) -> Tensor:
        x = F.conv2d(image, self.patch_weight, self.patch_bias, stride=TOKEN).permute(0, 2, 3, 1)
        _, rows, columns, width = x.shape
        row_taps, column_taps = (taps(count, _SIDE, _SIDE / count) for count in (rows, columns))
        x = x + column_taps @ (row_taps @ self.position).view(rows, -1, width)
        embedding: Tensor = self.neck(self.blocks(x))
        return embedding
