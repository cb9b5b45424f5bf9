"""The family EfficientSAM (arXiv 2312.00863): its prompt encoder and mask decoder, written for export.

They differ from SAM's in what attention adds to what, in activations and in one norm. There is no mask prompt.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge_sam.bundles.contract import ABSENT, CHANNELS, Contract
from edge_sam.export.checkpoint import Weights
from edge_sam.export.efficient_sam_encoder import EfficientSamEncoder
from edge_sam.export.family import Family
from edge_sam.export.layers import Linear, Norm, parameter, reshape
from edge_sam.export.mask_decoder import ABSENT_BIAS
from edge_sam.export.prompt_encoder import PositionEncoding
from edge_sam.export.two_way_attention import ImageToToken, SelfAttention, TokenToImage
from edge_sam.imaging.view import FRAME, TOKEN, Fit

_SLOTS = 6
"""Least number of points of every prompt. Slots without a point hold a token that others attend to."""
_MASKS = 4
_TABLES = ("point_embeddings", "bbox_top_left_embeddings", "bbox_bottom_right_embeddings")


class Points(nn.Module):
    """Points and box corners in at least `_SLOTS` slots as tokens.

    A slot without a point, which is one with a negative label, holds the position that upstream fills it up with.
    """

    def __init__(self, weights: Weights, position: PositionEncoding, name: str = "prompt_encoder") -> None:
        super().__init__()
        kinds = [torch.zeros(1, CHANNELS), *(weights.take(f"{name}.{part}.weight", 1, CHANNELS) for part in _TABLES)]
        self.kinds = parameter(torch.cat(kinds))
        self.position = position
        empty = weights.take(f"{name}.invalid_points.weight", 1, CHANNELS)[0]
        self.empty = parameter(empty + position(torch.full((2,), -0.5 / FRAME)))

    def forward(self, coords: Tensor, labels: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
        """Return the (N, slots, 256) tokens, and (N, slots) 1 for those that are absent, because a row is short."""
        count = labels.shape[0]
        slots = torch._shape_as_tensor(labels)[1].clamp(min=_SLOTS)
        labels = torch.cat([labels, torch.full((1, _SLOTS), ABSENT).expand(count, -1)], dim=1)[:, :slots]
        coords = torch.cat([coords, torch.zeros(1, _SLOTS, 2).expand(count, -1, -1)], dim=1)[:, :slots]
        given = (labels >= 0).to(torch.float32)
        tokens = self.position((coords + 0.5) / frame) + F.embedding(labels.clamp(min=0), self.kinds)
        tokens = tokens * given[..., None] + self.empty * (1 - given[..., None])
        surplus = (torch.arange(labels.shape[1]) >= _SLOTS).to(torch.float32)
        return tokens, surplus * (1 - given)


class TwoWayBlock(nn.Module):
    """Self-attention, token-to-image attention, MLP, and image-to-token attention."""

    def __init__(self, weights: Weights, name: str, first: bool) -> None:
        super().__init__()
        self.first = first
        self.self_attention = SelfAttention(weights, f"{name}.self_attn")
        self.token_to_image = TokenToImage(weights, f"{name}.cross_attn_token_to_image")
        self.lin1 = Linear(weights, f"{name}.mlp.layers.0.0", CHANNELS, 2048)
        self.lin2 = Linear(weights, f"{name}.mlp.fc", 2048, CHANNELS)
        self.image_to_token = ImageToToken(weights, f"{name}.cross_attn_image_to_token")
        self.norms = nn.ModuleList([Norm(weights, f"{name}.norm{i}", CHANNELS) for i in (1, 2, 3, 4)])

    def forward(
        self, tokens: Tensor, prompt: Tensor, image: Tensor, position: Tensor, absent: Tensor
    ) -> tuple[Tensor, Tensor]:
        tokens = tokens if self.first else tokens + prompt  # Unlike SAM's, values and residual have it too.
        tokens = self.norms[0](tokens + self.self_attention(tokens, tokens, absent))
        placed = image + position
        tokens = self.norms[1](tokens + self.token_to_image(tokens + prompt, image, placed))
        tokens = self.norms[2](tokens + self.lin2(F.gelu(self.lin1(tokens))))
        image = self.norms[3](image + self.image_to_token(placed, tokens + prompt, tokens, absent))
        return tokens, image


class Upscaling(nn.Module):
    """Two transposed convolutions as products on tokens, with a norm over all pixels and channels between them.

    (N, rows, columns, 256) image tokens and (N, 4, 32) hyper-networks to (N, 4, 4·rows, 4·columns) logits.
    """

    def __init__(self, weights: Weights, name: str) -> None:
        super().__init__()
        half, quarter = CHANNELS // 4, CHANNELS // 8
        first = weights.take(f"{name}.0.0.weight", CHANNELS, half, 2, 2).permute(2, 3, 1, 0)
        second = weights.take(f"{name}.1.0.weight", half, quarter, 2, 2).permute(2, 3, 1, 0)
        self.first = nn.ParameterList([parameter(row.reshape(2 * half, CHANNELS)) for row in first])
        self.first_bias = parameter(weights.take(f"{name}.0.0.bias", half).repeat(2))
        self.second = nn.ParameterList([parameter(row.reshape(2 * quarter, half)) for row in second])
        self.second_bias = parameter(weights.take(f"{name}.1.0.bias", quarter).repeat(2))
        self.gain, self.shift = (parameter(weights.take(f"{name}.0.1.{part}", half)) for part in ("weight", "bias"))

    def forward(self, image: Tensor, hyper: Tensor) -> Tensor:
        count, rows, columns, _ = image.shape
        rows_of_pixels = [
            reshape(F.linear(image, first, self.first_bias), 0, -1, CHANNELS // 4) for first in self.first
        ]
        mean = torch.stack([x.mean(dim=(1, 2), keepdim=True) for x in rows_of_pixels]).mean(dim=0)
        squares = [(x - mean).square().mean(dim=(1, 2), keepdim=True) for x in rows_of_pixels]
        variance = torch.stack(squares).mean(dim=0)
        scale = torch.rsqrt(variance + 1e-5)
        lines = []
        for pixels in rows_of_pixels:
            x = F.gelu((pixels - mean) * scale * self.gain + self.shift)
            for second in self.second:
                fine = reshape(F.gelu(F.linear(x, second, self.second_bias)), 0, -1, CHANNELS // 8)
                lines.append((hyper @ fine.transpose(1, 2)).view(count, _MASKS, rows, 4 * columns))
        return torch.stack(lines, dim=3).view(count, _MASKS, 4 * rows, 4 * columns)


class Perceptron(nn.Module):
    """Two hidden layers of 256. (..., 256) to (..., outputs)."""

    def __init__(self, weights: Weights, name: str, outputs: int) -> None:
        super().__init__()
        self.hidden = nn.ModuleList([Linear(weights, f"{name}.layers.{i}.0", CHANNELS, CHANNELS) for i in (0, 1)])
        self.last = Linear(weights, f"{name}.fc", CHANNELS, outputs)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.hidden:
            x = F.gelu(layer(x))
        output: Tensor = self.last(x)
        return output


class EfficientSamMaskDecoder(nn.Module):
    """Masks and predicted IoU for N prompts on one image, whose grid is free.

    Inputs
        image_tokens (1 or N, rows, columns, 256) float32: image embedding;
        point_coords (N, P, 2) float32: XY in pixels of the encoder's input, 16·columns × 16·rows;
        point_labels (N, P) int64: see `edge_sam.export.prompt_encoder.PointEncoder`.
    Outputs
        low_res_logits (N, 4, 4·rows, 4·columns) float32: the single mask, then the three of an ambiguous prompt;
        predicted_iou (N, 4) float32.
    """

    def __init__(self, weights: Weights, name: str = "mask_decoder") -> None:
        super().__init__()
        self.position = PositionEncoding(weights)
        self.points = Points(weights, self.position)
        tokens = [
            weights.take(f"{name}.{part}.weight", n, CHANNELS) for part, n in (("iou_token", 1), ("mask_tokens", 4))
        ]
        self.output_tokens = parameter(torch.cat(tokens)[None])
        self.blocks = nn.ModuleList([TwoWayBlock(weights, f"{name}.transformer.layers.{i}", i == 0) for i in (0, 1)])
        self.final = TokenToImage(weights, f"{name}.transformer.final_attn_token_to_image")
        self.final_norm = Norm(weights, f"{name}.transformer.norm_final_attn", CHANNELS)
        self.upscaling = Upscaling(weights, f"{name}.final_output_upscaling_layers")
        self.hyper = nn.ModuleList(
            [Perceptron(weights, f"{name}.output_hypernetworks_mlps.{i}", CHANNELS // 8) for i in range(_MASKS)]
        )
        self.score = Perceptron(weights, f"{name}.iou_prediction_head", _MASKS)

    def forward(self, image_tokens: Tensor, point_coords: Tensor, point_labels: Tensor) -> tuple[Tensor, Tensor]:
        _, rows, columns, _ = image_tokens.shape
        frame = TOKEN * torch._shape_as_tensor(image_tokens)[1:3].flip(0)
        points, absent = self.points(point_coords, point_labels, frame)
        prompt = torch.cat([self.output_tokens.expand(points.shape[0], -1, -1), points], dim=1)
        absent = F.pad(absent * ABSENT_BIAS, (1 + _MASKS, 0))[:, None, :]
        tokens, image, position = prompt, reshape(image_tokens, 0, -1, CHANNELS), self.position.free_grid(rows, columns)
        for block in self.blocks:
            tokens, image = block(tokens, prompt, image, position, absent)
        tokens, prompt = tokens[:, : 1 + _MASKS], prompt[:, : 1 + _MASKS]
        tokens = self.final_norm(tokens + self.final(tokens + prompt, image, image + position))
        hyper = torch.stack([layer(tokens[:, 1 + i]) for i, layer in enumerate(self.hyper)], dim=1)
        return self.upscaling(image.view(-1, rows, columns, CHANNELS), hyper), self.score(tokens[:, 0])


EFFICIENT_SAM = Family(
    name="efficient-sam",
    title="EfficientSAM",
    mark="prompt_encoder.invalid_points.weight",
    url="https://github.com/yformer/EfficientSAM",
    license="Apache-2.0",
    notice="""\
EfficientSAM, copyright Meta Platforms, Inc. and affiliates, Apache License 2.0.""",
    licenses=("Apache-2.0.txt",),
    encoder=EfficientSamEncoder,
    decoder=EfficientSamMaskDecoder,
    contract=Contract(fit=Fit(padded=False, antialiased=False), square=True, masks=False),
)
