"""Mask decoder of SAM (arXiv 2304.02643, appendix A), written for export.

Tokens stay channels-last up to the logits, so the two transposed convolutions are matrix products and LayerNorm2d is a
plain LayerNorm.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge_sam.bundles.contract import ABSENT, CHANNELS
from edge_sam.export.checkpoint import Weights
from edge_sam.export.layers import Linear, Norm, parameter
from edge_sam.export.prompt_encoder import PointEncoder, PositionEncoding
from edge_sam.export.two_way_attention import TokenToImage, TwoWayBlock
from edge_sam.imaging.view import FRAME

ABSENT_BIAS = -1e4
"""Added to attention scores of absent tokens, which become 0 after softmax, even in fp16."""


class Upscaling(nn.Module):
    """Two transposed convolutions (2×2, stride 2) and the product with the hyper-networks, as products on tokens.

    Each of a token's four rows of pixels is computed separately, so rows come out in order without a transposition,
    and intermediate results fit into the processor's cache.

    (N, rows, columns, 256) image tokens and (N, M, 32) hyper-networks to (N, M, 4·rows, 4·columns) logits.
    """

    def __init__(self, weights: Weights, name: str) -> None:
        super().__init__()
        half, quarter = CHANNELS // 4, CHANNELS // 8
        first = weights.take(f"{name}.0.weight", CHANNELS, half, 2, 2).permute(2, 3, 1, 0)
        second = weights.take(f"{name}.3.weight", half, quarter, 2, 2).permute(2, 3, 1, 0)
        self.first = nn.ParameterList([parameter(row.reshape(2 * half, CHANNELS)) for row in first])
        self.first_bias = parameter(weights.take(f"{name}.0.bias", half).repeat(2))
        self.second = nn.ParameterList([parameter(row.reshape(2 * quarter, half)) for row in second])
        self.second_bias = parameter(weights.take(f"{name}.3.bias", quarter).repeat(2))
        self.norm = Norm(weights, f"{name}.1", half, eps=1e-6)

    def forward(self, image: Tensor, hyper: Tensor) -> Tensor:
        count, rows, columns, _ = image.shape
        tokens = image.reshape(-1, CHANNELS)  # In two dimensions a product includes its bias.
        lines = []
        for first in self.first:
            x = F.linear(tokens, first, self.first_bias).view(-1, CHANNELS // 4)
            x = F.gelu(self.norm(x))
            for second in self.second:
                pixels = F.gelu(F.linear(x, second, self.second_bias)).view(count, -1, CHANNELS // 8)
                lines.append((hyper @ pixels.transpose(1, 2)).view(count, -1, rows, 4 * columns))
        return torch.stack(lines, dim=3).view(count, -1, 4 * rows, 4 * columns)


class SeparateUpscaling(nn.Module):
    """The second part of `MaskDecoder`: logits of the masks that are wanted.

    Inputs
        attended_tokens (N, I, 256) float32 and mask_weights (N, M, 32) float32: the decoder's outputs for these prompts
            and masks;
        token_size (2,) int64: as there.
    Outputs
        low_res_logits (N, M, 4·rows, 4·columns) float32.
    """

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.upscaling: nn.Module = decoder.get_submodule("upscaling")

    def forward(self, attended_tokens: Tensor, mask_weights: Tensor, token_size: Tensor) -> Tensor:
        rows, columns = token_size
        logits: Tensor = self.upscaling(attended_tokens.view(-1, rows, columns, CHANNELS), mask_weights)
        return logits


class MaskDecoder(nn.Module):
    """Predicted IoU, and what masks are made of, for N prompts on one image.

    Inputs
        image_tokens (1 or N, I, 256) float32: tokens of the image embedding plus the dense prompt (mask or "no mask"):
            those to compute logits for, row by row, then any of the rest;
        token_index (I,) int64: their places in the 64×64 grid of the frame, counted row by row;
        token_count (I,) float32: of how many tokens of the grid each takes the place, itself included;
        point_coords (N, P, 2) float32: XY in pixels of the 1024×1024 frame;
        point_labels (N, P) int64: see `PointEncoder`;
        token_size (2,) int64: rows and columns of image tokens to compute logits for, from the top left.

    With all 4096 tokens, and 1 for each count, this is the decoder as it was trained.

    Outputs
        predicted_iou (N, 4) float32: of the single mask, then of the three of an ambiguous prompt;
        attended_tokens (N, rows·columns, 256) float32, mask_weights (N, 4, 32) float32: for `SeparateUpscaling`; image
            tokens after the attention, and the hyper-networks of the masks.
    """

    tokens: ClassVar = {"iou_token": 1, "mask_tokens": 4}
    """Output tokens and how many there are of each."""
    outputs: ClassVar = 5
    """How many of them are read, from the first: one for predicted IoU and four for masks."""
    upscaling_class: ClassVar[type[nn.Module]] = Upscaling

    def __init__(self, weights: Weights, name: str = "mask_decoder") -> None:
        super().__init__()
        self.position = PositionEncoding(weights)
        self.points = PointEncoder(weights, self.position)
        tokens = [weights.take(f"{name}.{part}.weight", count, CHANNELS) for part, count in self.tokens.items()]
        self.output_tokens = parameter(torch.cat(tokens)[None])
        self.blocks = nn.ModuleList(
            [TwoWayBlock(weights, f"{name}.transformer.layers.{i}", first=i == 0) for i in range(2)]
        )
        self.final = TokenToImage(weights, f"{name}.transformer.final_attn_token_to_image")
        self.final_norm = Norm(weights, f"{name}.transformer.norm_final_attn", CHANNELS)
        self.upscaling = self.upscaling_class(weights, f"{name}.output_upscaling")
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

    def forward(
        self,
        image_tokens: Tensor,
        token_index: Tensor,
        token_count: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        token_size: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        prompt, absent = self._prompt(point_coords, point_labels)
        position = self.position.grid()[token_index]
        tokens, image = self._attend(prompt, absent, image_tokens, position, token_count.log())
        score = self._score(tokens[:, 0])
        rows, columns = token_size
        return score, image[:, : rows * columns], self._hyper(tokens[:, 1:])

    def _prompt(self, point_coords: Tensor, point_labels: Tensor, frame: Tensor | int = FRAME) -> tuple[Tensor, Tensor]:
        """Return the (N, T, 256) output and point tokens, and what to add to the scores of absent ones."""
        count = point_coords.shape[0]
        tokens = [self.output_tokens.expand(count, -1, -1), self.points(point_coords, point_labels, frame)]
        prompt = torch.cat(tokens, dim=1)
        missing = (point_labels == ABSENT).to(torch.float32) * ABSENT_BIAS
        return prompt, F.pad(missing, (sum(self.tokens.values()), 0))[:, None, :]

    def _attend(
        self, prompt: Tensor, absent: Tensor, image: Tensor, position: Tensor, log_count: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the (N, `outputs`, 256) output tokens that are read, and the (N, I, 256) image tokens."""
        tokens = prompt
        for block in self.blocks:
            tokens, image = block(tokens, prompt, image, position, absent, log_count)
        # Only these output tokens of the last attention are used.
        tokens, prompt = tokens[:, : self.outputs], prompt[:, : self.outputs]
        final = self.final(tokens + prompt, image, image + position, log_count)
        return self.final_norm(tokens + final), image

    def _score(self, score: Tensor) -> Tensor:
        """(N, 256) token of the predicted IoU to its (N, 4) values."""
        for i, layer in enumerate(self.iou_head):
            score = layer(score) if i == 2 else F.relu(layer(score))
        return score

    def _hyper(self, mask_tokens: Tensor) -> Tensor:
        """(N, 4, 256) mask tokens to the (N, 4, 32) weights of the last product."""
        hyper = mask_tokens.transpose(0, 1)
        for i, (weight, bias) in enumerate(zip(self.hyper_weights, self.hyper_biases, strict=True)):
            hyper = hyper @ weight + bias
            hyper = hyper if i == 2 else F.relu(hyper)
        return hyper.transpose(0, 1)
