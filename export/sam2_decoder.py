"""SAM 2's mask decoder (arXiv 2408.00714), written for export."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge_sam.bundles.contract import CHANNELS
from edge_sam.export.checkpoint import Weights
from edge_sam.export.layers import Norm, parameter, reshape
from edge_sam.export.mask_decoder import MaskDecoder
from edge_sam.imaging.view import TOKEN


class HighResUpscaling(nn.Module):
    """`Upscaling` with two feature maps of the image encoder added, which include the biases of the convolutions.

    (N, rows, columns, 256) image tokens, (N, 4, 32) hyper-networks, (1, 4·rows, 4·columns, 32) and
    (1, 2·rows, 2·columns, 64) features to (N, 4, 4·rows, 4·columns) logits.
    """

    def __init__(self, weights: Weights, name: str) -> None:
        super().__init__()
        half, quarter = CHANNELS // 4, CHANNELS // 8
        first = weights.take(f"{name}.0.weight", CHANNELS, half, 2, 2).permute(2, 3, 1, 0)
        second = weights.take(f"{name}.3.weight", half, quarter, 2, 2).permute(2, 3, 1, 0)
        self.first = nn.ParameterList([parameter(row.reshape(2 * half, CHANNELS)) for row in first])
        self.second = nn.ParameterList([parameter(row.reshape(2 * quarter, half)) for row in second])
        self.norm = Norm(weights, f"{name}.1", half, eps=1e-6)

    def forward(self, image: Tensor, hyper: Tensor, high_res_0: Tensor, high_res_1: Tensor) -> Tensor:
        count, rows, columns, _ = image.shape
        lines = []
        for i, first in enumerate(self.first):
            x = reshape(F.linear(image, first), 0, 0, -1, CHANNELS // 4) + high_res_1[:, i::2]
            x = F.gelu(self.norm(x))
            for j, second in enumerate(self.second):
                pixels = reshape(F.linear(x, second), 0, 0, -1, CHANNELS // 8) + high_res_0[:, 2 * i + j :: 4]
                pixels = reshape(F.gelu(pixels), 0, -1, CHANNELS // 8)
                lines.append((hyper @ pixels.transpose(1, 2)).view(count, 4, rows, 4 * columns))
        return torch.stack(lines, dim=3).view(count, 4, 4 * rows, 4 * columns)


class Sam2MaskDecoder(MaskDecoder):
    """Masks and predicted IoU for N prompts on one image, whose grid is free.

    Inputs
        image_tokens (1 or N, rows, columns, 256) float32: image embedding plus the dense prompt (mask or "no mask");
        high_res_0 (1, 4·rows, 4·columns, 32), high_res_1 (1, 2·rows, 2·columns, 64) float32: see `Sam2Encoder`;
        point_coords (N, P, 2) float32: XY in pixels of the encoder's input, 16·columns × 16·rows;
        point_labels (N, P) int64: see `PointEncoder`. Upstream puts a "not a point" after boxes as well.
    Outputs
        low_res_logits (N, 4, 4·rows, 4·columns) float32: the single mask, then the three of an ambiguous prompt;
        predicted_iou (N, 4) float32, 0 to 1.
    """

    # The token of the object score is not read for images, but the others attend to it.
    tokens: ClassVar = {**MaskDecoder.tokens, "obj_score_token": 1}
    upscaling_class = HighResUpscaling

    def forward(  # type: ignore[override]
        self, image_tokens: Tensor, high_res_0: Tensor, high_res_1: Tensor, point_coords: Tensor, point_labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        _, rows, columns, _ = image_tokens.shape
        frame = TOKEN * torch._shape_as_tensor(image_tokens)[1:3].flip(0)
        prompt, absent = self._prompt(point_coords, point_labels, frame)
        image, position = reshape(image_tokens, 0, -1, CHANNELS), self.position.free_grid(rows, columns)
        tokens, image = self._attend(prompt, absent, image, position)
        image = image.view(-1, rows, columns, CHANNELS)
        logits = self.upscaling(image, self._hyper(tokens[:, 1:]), high_res_0, high_res_1)
        return logits, self._score(tokens[:, 0]).sigmoid()
