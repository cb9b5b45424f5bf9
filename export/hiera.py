"""Hiera, the trunk of SAM 2's image encoder (arXiv 2306.00989, 2408.00714), written for export.

It gives the same results as the training code, with these changes:

- tokens stay channels-last, (1, rows, columns, channels), after the first convolution;
- one transposition splits both windows and heads;
- the softmax scale is folded into the queries, and the biases of keys and values are dropped or folded into the output
  projection, so that a padded token is zero where it is padded;
- the position embedding is computed for the size of the input with two matrix products;
- height and width of the input may be any multiples of 32.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge_sam.errors import InputError
from edge_sam.export.bicubic import BORDER, taps
from edge_sam.export.checkpoint import Weights
from edge_sam.export.layers import Linear, Norm, parameter

_EPS = 1e-6
_PARTS = 8
"""Queries of attention between all tokens are taken in parts. The scores of 4096 tokens would need 256 MiB at once."""


@dataclass(frozen=True)
class _Size:
    """What the tensors of a trunk do not tell. Heads are of the first stage and double with each stage."""

    heads: int
    windows: tuple[int, int, int, int]
    global_blocks: tuple[int, int, int]


_SIZES = {
    (96, 12): _Size(1, (8, 4, 14, 7), (5, 7, 9)),
    (96, 16): _Size(1, (8, 4, 14, 7), (7, 10, 13)),
    (112, 24): _Size(2, (8, 4, 14, 7), (12, 16, 20)),
    (144, 48): _Size(2, (8, 4, 16, 8), (23, 33, 43)),
}
"""By width and number of blocks: tiny, small, base+ and large."""


class PositionEmbedding(nn.Module):
    """A small background, enlarged bicubically, plus a window that repeats. Any grid of multiples of the window.

    Background and window are padded and laid out for `taps`.
    """

    def __init__(self, weights: Weights, name: str, width: int, window: int) -> None:
        super().__init__()
        self.width, self.window, self.side = width, window, weights.shape(f"{name}.pos_embed")[2]
        background = weights.take(f"{name}.pos_embed", 1, width, self.side, self.side)
        tile = weights.take(f"{name}.pos_embed_window", 1, width, window, window)
        background = F.pad(background, [BORDER] * 4, mode="replicate")[0].permute(1, 2, 0)
        self.background = parameter(background.reshape(self.side + 2 * BORDER, -1))
        self.tile = parameter(tile[0].permute(1, 2, 0)[:, None])

    def forward(self, x: Tensor) -> Tensor:
        """Add the embedding to (1, rows, columns, width) tokens."""
        _, rows, columns, width = x.shape
        row_taps, column_taps = (taps(count, self.side, self.side / count) for count in (rows, columns))
        background = (row_taps @ self.background).view(rows, -1, width)
        x = x + column_taps @ background
        return (x.view(-1, self.window, columns // self.window, self.window, width) + self.tile).view(x.shape)


class Attention(nn.Module):
    """Multi-head attention in windows, or between all tokens. (1, rows, columns, inputs) to (1, …, outputs).

    Tokens that fill up the last windows are keys too, as in training, where they are zero after the norm. So their
    scores and values come from biases only. The bias of the keys adds the same number to all scores of a query, which
    softmax ignores. The bias of the values passes through unchanged, because attention weights sum to one.

    With `pool`, queries are the maxima of 2×2 tokens, and there are a quarter as many output tokens.
    """

    def __init__(
        self, weights: Weights, name: str, widths: tuple[int, int], heads: int, window: int, padded: bool, pool: bool
    ) -> None:
        super().__init__()
        self.heads, self.window, self.padded, self.pool = heads, window, padded, pool
        inputs, width = widths
        scale = (width // heads) ** -0.5
        query, key, value = weights.take(f"{name}.qkv.weight", 3 * width, inputs).view(3, width, inputs)
        query_bias, _, value_bias = weights.take(f"{name}.qkv.bias", 3 * width).view(3, width)
        self.query_weight, self.query_bias = parameter(query * scale), parameter(query_bias * scale)
        self.key_weight, self.value_weight = parameter(key), parameter(value)
        out = weights.take(f"{name}.proj.weight", width, width)
        out_bias = weights.take(f"{name}.proj.bias", width).double() + out.double() @ value_bias.double()
        self.out_weight, self.out_bias = parameter(out), parameter(out_bias.float())

    def forward(self, x: Tensor) -> Tensor:
        query = F.linear(x, self.query_weight, self.query_bias)
        query = max_pool(query) if self.pool else query
        key, value = F.linear(x, self.key_weight), F.linear(x, self.value_weight)
        mixed = self._in_windows(query, key, value) if self.window else self._between_all(query, key, value)
        return F.linear(mixed, self.out_weight, self.out_bias)

    def _between_all(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        _, rows, columns, width = query.shape
        query, key, value = (
            x.view(1, -1, self.heads, width // self.heads).transpose(1, 2) for x in (query, key, value)
        )
        key, count = key.transpose(-2, -1), rows * columns
        ends = [count * i // _PARTS for i in range(_PARTS + 1)]
        parts = [query[:, :, start:end] for start, end in itertools.pairwise(ends)]
        mixed = torch.cat([(part @ key).softmax(dim=-1) @ value for part in parts], dim=2)
        return mixed.transpose(1, 2).reshape(1, rows, columns, width)

    def _in_windows(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        _, rows, columns, width = query.shape
        window = self.window // 2 if self.pool else self.window
        key, value = (self._split(self._pad(x, self.window), self.window) for x in (key, value))
        query = self._pad(query, window)
        _, height, breadth, _ = query.shape
        mixed = (self._split(query, window) @ key.transpose(-2, -1)).softmax(dim=-1) @ value
        mixed = mixed.view(height // window, breadth // window, self.heads, window, window, -1)
        mixed = mixed.permute(0, 3, 1, 4, 2, 5).reshape(1, height, breadth, width)
        return mixed[:, :rows, :columns] if self.padded else mixed

    def _pad(self, x: Tensor, window: int) -> Tensor:
        """Fill up the last windows with zeros."""
        return F.pad(x, (0, 0, 0, -x.shape[2] % window, 0, -x.shape[1] % window)) if self.padded else x

    def _split(self, x: Tensor, window: int) -> Tensor:
        """(1, rows, columns, width) to (windows, heads, tokens in a window, width / heads)."""
        _, rows, columns, width = x.shape
        x = x.view(rows // window, window, columns // window, window, self.heads, width // self.heads)
        return x.permute(0, 2, 4, 1, 3, 5).reshape(-1, self.heads, window * window, width // self.heads)


class Block(nn.Module):
    """Attention and perceptron. The first block of a stage doubles the width and halves rows and columns."""

    def __init__(
        self, weights: Weights, name: str, widths: tuple[int, int], heads: int, window: int, padded: bool
    ) -> None:
        super().__init__()
        inputs, width = widths
        pool = inputs != width
        self.norm1 = Norm(weights, f"{name}.norm1", inputs, _EPS)
        self.attention = Attention(weights, f"{name}.attn", widths, heads, window, padded, pool)
        self.project = Linear(weights, f"{name}.proj", inputs, width) if pool else None
        self.norm2 = Norm(weights, f"{name}.norm2", width, _EPS)
        self.lin1 = Linear(weights, f"{name}.mlp.lin1", width, 4 * width)
        self.lin2 = Linear(weights, f"{name}.mlp.lin2", 4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        x = (x if self.project is None else max_pool(self.project(y))) + self.attention(y)
        # With one token axis instead of two, OpenVINO fuses the activation into the product (docs/lab/performance.md).
        tokens = x.view(1, -1, x.shape[3])
        output: Tensor = tokens + self.lin2(F.gelu(self.lin1(self.norm2(tokens))))
        return output.view(x.shape)


class Hiera(nn.Module):
    """The trunk.

    Input: (1, 3, H, W) float32, normalised RGB, H and W multiples of 32.
    Outputs: the tokens of the four stages, (1, H / s, W / s, C) with s = 4, 8, 16, 32 and C doubling from `widths[0]`.

    Attributes
    ----------
    widths : list of int
        Channels of the four stages.

    Raises
    ------
    InputError
        No Hiera of SAM 2 has this width and number of blocks.
    """

    def __init__(self, weights: Weights, name: str = "image_encoder.trunk") -> None:
        super().__init__()
        first, depth = (weights.shape(f"{name}.patch_embed.proj.weight") or (0,))[0], 0
        while weights.shape(f"{name}.blocks.{depth}.norm1.weight"):
            depth += 1
        size = _SIZES.get((first, depth))
        if size is None:
            known = ", ".join(f"{blocks} of width {width}" for width, blocks in _SIZES)
            raise InputError(f"the checkpoint's Hiera has {depth} blocks of width {first}; SAM 2's have {known}")
        self.widths = [first << stage for stage in range(4)]
        self.patch_weight = parameter(weights.take(f"{name}.patch_embed.proj.weight", first, 3, 7, 7))
        self.patch_bias = parameter(weights.take(f"{name}.patch_embed.proj.bias", first))
        self.position = PositionEmbedding(weights, name, first, size.windows[0])
        stages: list[list[nn.Module]] = [[]]
        for i in range(depth):
            before = len(stages) - 1
            if weights.shape(f"{name}.blocks.{i}.proj.weight"):
                stages.append([])
            stage = len(stages) - 1
            widths = self.widths[before], self.widths[stage]
            # The first block of a stage still has the windows of the stage before. Windows of the first two stages
            # divide every grid, because the input is a multiple of 32.
            window = 0 if i in size.global_blocks else size.windows[before]
            stages[-1].append(Block(weights, f"{name}.blocks.{i}", widths, size.heads << stage, window, before > 1))
        self.stages = nn.ModuleList([nn.Sequential(*blocks) for blocks in stages])

    def forward(self, image: Tensor) -> list[Tensor]:
        x = F.conv2d(image, self.patch_weight, self.patch_bias, stride=4, padding=3).permute(0, 2, 3, 1)
        x = self.position(x)
        outputs = []
        for stage in self.stages:
            x = stage(x)
            outputs.append(x)
        return outputs


def max_pool(x: Tensor) -> Tensor:
    """Return the maximum of each 2×2 tokens. (1, rows, columns, C) to (1, rows / 2, columns / 2, C)."""
    _, rows, columns, width = x.shape
    x = x.view(rows // 2, 2, columns // 2, 2 * width)
    x = torch.maximum(x[:, 0], x[:, 1]).view(1, rows // 2, columns // 2, 2, width)
    return torch.maximum(x[..., 0, :], x[..., 1, :])
