"""Prompt encoder of SAM (arXiv 2304.02643, appendix A), written for export."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge_sam.bundles.contract import CHANNELS
from edge_sam.export.checkpoint import Weights
from edge_sam.export.layers import Norm, parameter, reshape
from edge_sam.imaging.geometry import GRID
from edge_sam.imaging.view import FRAME


class PositionEncoding(nn.Module):
    """Random Fourier features of a position in the frame (appendix A). (..., 2) XY in 0..1 to (..., 256)."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        name = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
        self.frequencies = parameter(2 * math.pi * weights.take(name, 2, CHANNELS // 2))

    def forward(self, position: Tensor) -> Tensor:
        phase = (2 * position - 1) @ self.frequencies
        return torch.cat([phase.sin(), phase.cos()], dim=-1)

    def grid(self) -> Tensor:
        """Return the (4096, 256) encoding of the image tokens' centres."""
        centre = (torch.arange(GRID, dtype=torch.float32) + 0.5) / GRID
        y, x = torch.meshgrid(centre, centre, indexing="ij")
        encoded: Tensor = self(torch.stack([x, y], dim=-1).view(GRID * GRID, 2))
        return encoded

    def free_grid(self, rows: int, columns: int) -> Tensor:
        """Return the (rows·columns, 256) encoding of the centres of any grid that fills the frame.

        Sine and cosine of a sum are sums of products of those of rows and columns, which are few.
        """
        x, y = (
            (2 * (torch.arange(size, dtype=torch.float32) + 0.5) / size - 1)[:, None] * frequency
            for size, frequency in ((columns, self.frequencies[0]), (rows, self.frequencies[1]))
        )
        sin_x, cos_x, sin_y, cos_y = x.sin(), x.cos(), y.sin()[:, None], y.cos()[:, None]
        encoded = torch.cat([sin_y * cos_x + cos_y * sin_x, cos_y * cos_x - sin_y * sin_x], dim=-1)
        return reshape(encoded, -1, CHANNELS)


class PointEncoder(nn.Module):
    """Points and box corners as tokens.

    Labels are -2 absent (the token is masked out), -1 "not a point", 0 negative, 1 positive, 2 top-left corner and
    3 bottom-right corner.
    """

    def __init__(self, weights: Weights, position: PositionEncoding) -> None:
        super().__init__()
        name = "prompt_encoder"
        rows = [torch.zeros(1, CHANNELS), weights.take(f"{name}.not_a_point_embed.weight", 1, CHANNELS)]
        rows += [weights.take(f"{name}.point_embeddings.{i}.weight", 1, CHANNELS) for i in range(4)]
        self.kinds = parameter(torch.cat(rows))
        self.placed = parameter(torch.tensor([[0.0], [0.0], [1.0], [1.0], [1.0], [1.0]]))
        self.position = position

    def forward(self, coords: Tensor, labels: Tensor, frame: Tensor | int = FRAME) -> Tensor:
        """`frame` is the side, or (width, height), of the frame that `coords` are in."""
        kind = labels + 2
        encoded = self.position((coords + 0.5) / frame)
        tokens: Tensor = F.embedding(kind, self.kinds) + encoded * F.embedding(kind, self.placed)
        return tokens


class MaskEncoder(nn.Module):
    """A mask prompt added to the image embedding.

    Inputs: image_embedding (1, 64, 64, 256) float32; mask (N, 256, 256) float32 low-res logits.
    Output: image_tokens (N, 64, 64, 256) float32, for `MaskDecoder`.

    With `free_grid`, the embedding may have any rows and columns, and the mask four times as many.
    """

    def __init__(
        self, weights: Weights, name: str = "prompt_encoder.mask_downscaling", *, free_grid: bool = False
    ) -> None:
        super().__init__()
        self.free_grid = free_grid
        first = weights.take(f"{name}.0.weight", 4, 1, 2, 2)
        second = weights.take(f"{name}.3.weight", 16, 4, 2, 2)
        self.first_weight = parameter(first.view(4, 4))
        self.first_bias = parameter(weights.take(f"{name}.0.bias", 4))
        self.first_norm = Norm(weights, f"{name}.1", 4, eps=1e-6)
        self.second_weight = parameter(second.permute(0, 2, 3, 1).reshape(16, 16))
        self.second_bias = parameter(weights.take(f"{name}.3.bias", 16))
        self.second_norm = Norm(weights, f"{name}.4", 16, eps=1e-6)
        self.third_weight = parameter(weights.take(f"{name}.6.weight", CHANNELS, 16, 1, 1).view(CHANNELS, 16))
        self.third_bias = parameter(weights.take(f"{name}.6.bias", CHANNELS))

    def forward(self, image_embedding: Tensor, mask: Tensor) -> Tensor:
        rows, columns = image_embedding.shape[1:3] if self.free_grid else (GRID, GRID)
        # Split rows and columns into token, half of the token, and pixel of the half.
        x = mask.view(-1, rows, 2, 2, columns, 2, 2).permute(0, 1, 4, 2, 5, 3, 6).reshape(-1, rows, columns, 4, 4)
        x = F.gelu(self.first_norm(F.linear(x, self.first_weight, self.first_bias)))
        x = F.linear(x.view(-1, rows, columns, 16), self.second_weight, self.second_bias)
        x = F.linear(F.gelu(self.second_norm(x)), self.third_weight, self.third_bias)
        return image_embedding + x
