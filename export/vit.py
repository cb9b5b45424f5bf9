"""The ViT image encoder of SAM (arXiv 2304.02643, 2203.16527), written for export.

It gives the same results as the training code, with these changes:

- width, depth, heads, windows and the perceptrons' widths are read from the tensors, so that pruned models fit too;
- tokens stay channels-last, (1, rows, columns, channels), after the first convolution;
- one transposition splits both windows and heads;
- the softmax scale is folded into the keys, because relative positions take queries without it;
- the biases of keys and values are dropped or folded into the output projection, so that a padded token is zero where
  it is padded;
- height and width of the input may be any multiples of 16 up to the frame. Position embedding and tables of relative
  positions are cut to the size, so that a token sees the others where they are in the whole frame.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge_sam.bundles.contract import Contract
from edge_sam.export.checkpoint import Weights
from edge_sam.export.family import Family
from edge_sam.export.layers import parameter
from edge_sam.export.neck import Neck
from edge_sam.export.transformer_block import TransformerBlock
from edge_sam.imaging.geometry import GRID
from edge_sam.imaging.view import TOKEN

_PERCEPTRON = ("mlp.lin1", "mlp.lin2")
_ALL_OFFSETS = 2 * GRID - 1
"""Rows of a table of relative positions between all tokens of the frame."""


class Attention(nn.Module):
    """Multi-head attention with decomposed relative positions. (1, rows, columns, width) throughout.

    Tokens that fill up the last windows are keys too, as in training, where they are zero after the norm. So their
    scores and values come from biases and relative positions only. The bias of the keys adds the same number to all
    scores of a query, which softmax ignores. The bias of the values passes through unchanged, because attention weights
    sum to one.

    Attributes
    ----------
    window : int
        Tokens along a side of a window. 0: attention between all tokens.
    """

    def __init__(self, weights: Weights, name: str, width: int) -> None:
        super().__init__()
        inner = (weights.shape(f"{name}.qkv.weight") or (0,))[0] // 3
        table = weights.shape(f"{name}.rel_pos_h") or ()
        offsets, depth = table if len(table) == 2 else (_ALL_OFFSETS, inner or 1)
        self.window = 0 if offsets == _ALL_OFFSETS else (offsets + 1) // 2
        self.heads, self.depth = inner // depth, depth
        query, key, value = weights.take(f"{name}.qkv.weight", 3 * inner, width).view(3, inner, width)
        query_bias, _, value_bias = weights.take(f"{name}.qkv.bias", 3 * inner).view(3, inner)
        self.query_weight, self.query_bias = parameter(query), parameter(query_bias)
        self.key_weight, self.value_weight = parameter(key * depth**-0.5), parameter(value)
        out = weights.take(f"{name}.proj.weight", width, inner)
        out_bias = weights.take(f"{name}.proj.bias", width).double() + out.double() @ value_bias.double()
        self.out_weight, self.out_bias = parameter(out), parameter(out_bias.float())
        self.row_offsets = parameter(weights.take(f"{name}.rel_pos_h", offsets, depth))
        self.column_offsets = parameter(weights.take(f"{name}.rel_pos_w", offsets, depth))

    def forward(self, x: Tensor) -> Tensor:
        query = F.linear(x, self.query_weight, self.query_bias)
        key, value = F.linear(x, self.key_weight), F.linear(x, self.value_weight)
        mixed = self._in_windows(query, key, value) if self.window else self._between_all(query, key, value)
        return F.linear(mixed, self.out_weight, self.out_bias)

    def _between_all(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend head by head. The scores of 4096 tokens need 64 MiB for each head."""
        _, rows, columns, width = query.shape
        mixed = []
        for i in range(self.heads):
            q, k, v = (x[0, :, :, i * self.depth : (i + 1) * self.depth] for x in (query, key, value))
            by_row, by_column = self._relative(q, rows, columns)
            scores = q.reshape(-1, self.depth) @ k.reshape(-1, self.depth).t()
            scores = scores.view(rows, columns, rows, columns) + by_row.unsqueeze(3) + by_column.unsqueeze(2)
            scores = scores.view(rows * columns, rows * columns)
            mixed.append(scores.softmax(dim=-1) @ v.reshape(-1, self.depth))
        return torch.cat(mixed, dim=-1).view(1, rows, columns, width)

    def _in_windows(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        _, rows, columns, width = query.shape
        size = self.window
        bottom, right = -rows % size, -columns % size
        down, across = (rows + bottom) // size, (columns + right) // size
        query, key, value = (
            F.pad(x, (0, 0, 0, right, 0, bottom))
            .view(down, size, across, size, self.heads, self.depth)
            .permute(0, 2, 4, 1, 3, 5)
            .reshape(-1, size, size, self.depth)
            for x in (query, key, value)
        )
        by_row, by_column = self._relative(query, size, size)
        key, value = (x.view(-1, size * size, self.depth) for x in (key, value))
        scores = query.view(-1, size * size, self.depth) @ key.transpose(1, 2)
        scores = scores.view(-1, size, size, size, size) + by_row.unsqueeze(4) + by_column.unsqueeze(3)
        mixed = scores.view(-1, size * size, size * size).softmax(dim=-1) @ value
        mixed = mixed.view(down, across, self.heads, size, size, self.depth).permute(0, 3, 1, 4, 2, 5)
        return mixed.reshape(1, down * size, across * size, width)[:, :rows, :columns]

    def _relative(self, query: Tensor, rows: int, columns: int) -> tuple[Tensor, Tensor]:
        """Return the scores of a query with each row and with each column.

        (…, rows, columns, depth) to (…, rows, columns, rows) and (…, rows, columns, columns).
        """
        by_row = query @ _of_pairs(self.row_offsets, rows).transpose(1, 2)
        by_column = query.transpose(-3, -2) @ _of_pairs(self.column_offsets, columns).transpose(1, 2)
        return by_row, by_column.transpose(-3, -2)


class ViT(nn.Module):
    """The image encoder.

    Input: (1, 3, H, W) float32, normalised RGB, H and W multiples of 16 up to 1024.
    Output: (1, H / 16, W / 16, 256) float32, channels-last image embedding.

    Attributes
    ----------
    first_global : int
        Number of the first block between all tokens.
    """

    def __init__(self, weights: Weights, name: str = "image_encoder") -> None:
        super().__init__()
        width, depth = (weights.shape(f"{name}.patch_embed.proj.weight") or (0,))[0], 0
        while weights.shape(f"{name}.blocks.{depth}.norm1.weight"):
            depth += 1
        self.patch_weight = parameter(weights.take(f"{name}.patch_embed.proj.weight", width, 3, TOKEN, TOKEN))
        self.patch_bias = parameter(weights.take(f"{name}.patch_embed.proj.bias", width))
        self.position = parameter(weights.take(f"{name}.pos_embed", 1, GRID, GRID, width))
        attention = [Attention(weights, f"{name}.blocks.{i}.attn", width) for i in range(depth)]
        self.first_global = next((i for i, each in enumerate(attention) if not each.window), depth - 1)
        self.blocks = nn.ModuleList(
            TransformerBlock(weights, f"{name}.blocks.{i}", each, _PERCEPTRON, width)
            for i, each in enumerate(attention)
        )
        self.neck = Neck(weights, f"{name}.neck", width)

    def embed(self, image: Tensor) -> Tensor:
        """Return the (1, H / 16, W / 16, width) tokens that the first block takes."""
        x = F.conv2d(image, self.patch_weight, self.patch_bias, stride=TOKEN).permute(0, 2, 3, 1)
        return x + self.position[:, : x.shape[1], : x.shape[2]]

    def forward(self, image: Tensor) -> Tensor:
        x = self.embed(image)
        for block in self.blocks:
            x = block(x)
        embedding: Tensor = self.neck(x)
        return embedding


def _of_pairs(table: Tensor, count: int) -> Tensor:
    """Look up the offsets between all pairs of `count` queries and keys. (offsets, depth) to (count, count, depth)."""
    order = torch.arange(count)
    return table[order[:, None] - order + table.shape[0] // 2]


SAM_VIT = Family(
    name="sam",
    title="SAM",
    mark="image_encoder.blocks.0.attn.rel_pos_h",
    url="https://github.com/facebookresearch/segment-anything",
    license="Apache-2.0",
    notice="""\
Segment Anything, copyright Meta Platforms, Inc. and affiliates, Apache License 2.0.""",
    licenses=("Apache-2.0.txt",),
    encoder=ViT,
    contract=Contract(square=True, weighted_tokens=True, separate_upscaling=True),  # docs/lab/families.md
)
