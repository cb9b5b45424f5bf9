"""Mask decoder of SAM (arXiv 2304.02643, appendix A), written for export.

Layout is channels-last tokens from the first line to the finished logits, so the two transposed convolutions
are matrix products and LayerNorm2d is a plain LayerNorm.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge_sam.export.checkpoint import Weights
from edge_sam.export.layers import Linear, Norm, parameter
from edge_sam.export.prompt_encoder import PointEncoder, PositionEncoding
from edge_sam.export.two_way_attention import CHANNELS, TokenToImage, TwoWayBlock
from edge_sam.geometry import GRID

_ABSENT_BIAS = -1e4
"""Added to a score: nothing is left of it after softmax, in fp16 as well."""


class Upscaling(nn.Module):
    """Two transposed convolutions (2×2, stride 2) as matrix products on tokens.

    (N, 4096, 256) to (N, 65536, 32), tokens in the order row, column, then sub-row and sub-column twice.
    """

    def __init__(self, weights: Weights, name: str) -> None:
        super().__init__()
        half, quarter = CHANNELS // 4, CHANNELS // 8
        first = weights.take(f"{name}.0.weight", CHANNELS, half, 2, 2)
        second = weights.take(f"{name}.3.weight", half, quarter, 2, 2)
        self.first = parameter(first.permute(2, 3, 1, 0).reshape(4 * half, CHANNELS))
        self.first_bias = parameter(weights.take(f"{name}.0.bias", half).repeat(4))
        self.second = parameter(second.permute(2, 3, 1, 0).reshape(4 * quarter, half))
        self.second_bias = parameter(weights.take(f"{name}.3.bias", quarter).repeat(4))
        self.norm = Norm(weights, f"{name}.1", half, eps=1e-6)

    def forward(self, image: Tensor) -> Tensor:
        # In two dimensions the products take their bias along.
        x = F.linear(image.reshape(-1, CHANNELS), self.first, self.first_bias).view(-1, CHANNELS // 4)
        x = F.gelu(F.linear(F.gelu(self.norm(x)), self.second, self.second_bias))
        return x.view(-1, 16 * GRID * GRID, CHANNELS // 8)


class MaskDecoder(nn.Module):
    """Masks and predicted IoU for N prompts on one image.

    Inputs
        image_tokens (1 or N, 64, 64, 256) float32: image embedding plus the dense prompt (mask or "no mask");
        point_coords (N, P, 2) float32: XY in pixels of the 1024×1024 frame;
        point_labels (N, P) int64: see `PointEncoder`.
    Outputs
        low_res_logits (N, 4, 256, 256) float32: the single mask, then the three of an ambiguous prompt;
        predicted_iou (N, 4) float32.
    """

    def __init__(self, weights: Weights, name: str = "mask_decoder") -> None:
        super().__init__()
        self.position = PositionEncoding(weights)
        self.points = PointEncoder(weights, self.position)
        iou_token = weights.take(f"{name}.iou_token.weight", 1, CHANNELS)
        mask_tokens = weights.take(f"{name}.mask_tokens.weight", 4, CHANNELS)
        self.output_tokens = parameter(torch.cat([iou_token, mask_tokens])[None])
        self.blocks = nn.ModuleList(
            [TwoWayBlock(weights, f"{name}.transformer.layers.{i}", first=i == 0) for i in range(2)]
        )
        self.final = TokenToImage(weights, f"{name}.transformer.final_attn_token_to_image")
        self.final_norm = Norm(weights, f"{name}.transformer.norm_final_attn", CHANNELS)
        self.upscaling = Upscaling(weights, f"{name}.output_upscaling")
        widths = ((CHANNELS, CHANNELS), (CHANNELS, CHANNELS), (CHANNELS, CHANNELS // 8))
        hyper = [
            [Linear(weights, f"{name}.output_hypernetworks_mlps.{m}.layers.{i}", *width) for m in range(4)]
            for i, width in enumerate(widths)
        ]
        self.hyper_weights = nn.ParameterList(
            [parameter(torch.stack([linear.weight.t() for linear in layer])) for layer in hyper]
        )
        self.hyper_biases = nn.ParameterList(
            [parameter(torch.stack([linear.bias[None] for linear in layer])) for layer in hyper]
        )
        self.iou_head = nn.ModuleList(
            [
                Linear(weights, f"{name}.iou_prediction_head.layers.{i}", CHANNELS, out)
                for i, out in enumerate((CHANNELS, CHANNELS, 4))
            ]
        )

    def forward(self, image_tokens: Tensor, point_coords: Tensor, point_labels: Tensor) -> tuple[Tensor, Tensor]:
        count = point_coords.shape[0]
        prompt = torch.cat([self.output_tokens.expand(count, -1, -1), self.points(point_coords, point_labels)], dim=1)
        missing = (point_labels == -2).to(torch.float32) * _ABSENT_BIAS
        absent = F.pad(missing, (self.output_tokens.shape[1], 0))[:, None, :]

        image, position = image_tokens.view(-1, GRID * GRID, CHANNELS), self.position.grid()
        tokens = prompt
        for block in self.blocks:
            tokens, image = block(tokens, prompt, image, position, absent)
        tokens = self.final_norm(tokens + self.final(tokens + prompt, image, image + position))

        score = tokens[:, 0]
        for i, layer in enumerate(self.iou_head):
            score = layer(score) if i == 2 else F.relu(layer(score))
        return self._masks(tokens[:, 1:5], image), score

    def _masks(self, mask_tokens: Tensor, image: Tensor) -> Tensor:
        """(N, 4, 256) mask tokens and (N, 4096, 256) image tokens to (N, 4, 256, 256) logits."""
        hyper = mask_tokens.transpose(0, 1)
        for i, (weight, bias) in enumerate(zip(self.hyper_weights, self.hyper_biases, strict=True)):
            hyper = hyper @ weight + bias
            hyper = hyper if i == 2 else F.relu(hyper)
        logits = hyper.transpose(0, 1) @ self.upscaling(image).transpose(1, 2)
        logits = logits.view(-1, 4, GRID, GRID, 2, 2, 2, 2).permute(0, 1, 2, 4, 6, 3, 5, 7)
        masks: Tensor = logits.reshape(-1, 4, 4 * GRID, 4 * GRID)
        return masks
