"""The families HQ-SAM and Light HQ-SAM (arXiv 2306.01567): SAM with a token and features for finer masks.

They were trained on top of SAM's or MobileSAM's frozen weights. Each mask of SAM gets the logits of the added token on
top. The features, which only depend on the image, come out of the encoder.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge_sam.bundles.contract import CHANNELS, Contract, FeatureMap
from edge_sam.export.checkpoint import Weights
from edge_sam.export.family import Family
from edge_sam.export.layers import Linear, Norm, parameter, reshape
from edge_sam.export.mask_decoder import MaskDecoder, Upscaling
from edge_sam.export.tiny_vit import MOBILE_SAM, TinyViTEncoder
from edge_sam.export.vit import ViT
from edge_sam.imaging.geometry import GRID

_FINE = CHANNELS // 8
"""Channels of the features."""
_EPS = 1e-6


class Enlarging(nn.Module):
    """Two transposed convolutions as products on tokens. (1, rows, columns, C) to (1, 4·rows, 4·columns, 32)."""

    def __init__(self, weights: Weights, name: str) -> None:
        super().__init__()
        inputs, middle, _, _ = weights.shape(f"{name}.0.weight") or (0, 0, 2, 2)
        self.layers = nn.ParameterList()
        for i, channels in ((0, (inputs, middle)), (3, (middle, _FINE))):
            weight = weights.take(f"{name}.{i}.weight", *channels, 2, 2).permute(2, 3, 1, 0)
            self.layers += [parameter(weight.reshape(-1, channels[0]))]
            self.layers += [parameter(weights.take(f"{name}.{i}.bias", channels[1]).repeat(4))]
        self.norm = Norm(weights, f"{name}.1", middle, _EPS)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.norm(_doubled(F.linear(x, self.layers[0], self.layers[1]))))
        return _doubled(F.linear(x, self.layers[2], self.layers[3]))


def _doubled(x: Tensor) -> Tensor:
    """Lay out four pixels that are side by side in the channels. (1, R, C, 4·W) to (1, 2·R, 2·C, W)."""
    _, rows, columns, width = x.shape
    x = x.view(rows, columns, 2, 2, width // 4).permute(0, 2, 1, 3, 4)
    return x.reshape(1, 2 * rows, 2 * columns, width // 4)


class Features(nn.Module):
    """The features from the image embedding and an early map of the encoder. (1, 4·rows, 4·columns, 32)."""

    def __init__(self, weights: Weights, name: str = "mask_decoder") -> None:
        super().__init__()
        self.of_embedding = Enlarging(weights, f"{name}.embedding_encoder")
        self.of_early = Enlarging(weights, f"{name}.compress_vit_feat")

    def forward(self, embedding: Tensor, early: Tensor) -> Tensor:
        features: Tensor = self.of_embedding(embedding) + self.of_early(early)
        return features


class HqEncoder(ViT):
    """`ViT` with the features of `Features`, from the output of the first block between all tokens."""

    def __init__(self, weights: Weights) -> None:
        super().__init__(weights)
        self.features = Features(weights)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        x = self.embed(image)
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i == self.first_global:
                early = x
        embedding = self.neck(x)
        return embedding, self.features(embedding, early)


class LightHqEncoder(TinyViTEncoder):
    """`TinyViTEncoder` with the features of `Features`, from what the third stage takes."""

    def __init__(self, weights: Weights) -> None:
        super().__init__(weights)
        self.features = Features(weights)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        tokens, taken = self.trunk(image)
        embedding = self.neck(tokens)
        return embedding, self.features(embedding, taken[1])


def encoder(weights: Weights) -> nn.Module:
    """Make the encoder of HQ-SAM or of Light HQ-SAM."""
    return LightHqEncoder(weights) if weights.shape(MOBILE_SAM.mark) else HqEncoder(weights)


class HqUpscaling(Upscaling):
    """Two transposed convolutions as products on tokens, then the products with the hyper-networks.

    The added token sees the pixels through two 3×3 convolutions. Its product absorbs the second of them: nine planes of
    products, shifted and added, in the place of 32 channels.
    """

    def __init__(self, weights: Weights, name: str) -> None:
        super().__init__(weights, name)
        half, part = CHANNELS // 4, name.rpartition(".")[0]
        mix = f"{part}.embedding_maskfeature"
        self.mix = parameter(weights.take(f"{mix}.0.weight", half, _FINE, 3, 3))
        self.mix_bias = parameter(weights.take(f"{mix}.0.bias", half))
        self.mix_norm = Norm(weights, f"{mix}.1", half, _EPS)
        absorbed = weights.take(f"{mix}.3.weight", _FINE, half, 3, 3)
        self.absorbed = parameter(absorbed.reshape(_FINE, 9 * half))
        self.absorbed_bias = parameter(weights.take(f"{mix}.3.bias", _FINE)[:, None])

    def forward(self, image: Tensor, hyper: Tensor, features: Tensor) -> Tensor:  # type: ignore[override]
        """Return (N, 4, 4·rows, 4·columns) logits.

        (N, rows, columns, 256) image tokens, (N, 5, 32) hyper-networks, (1, 4·rows, 4·columns, 32) features.
        """
        count, rows, columns, _ = image.shape
        lines = []
        for first in self.first:
            x = F.gelu(self.norm(reshape(F.linear(image, first, self.first_bias), 0, 0, -1, CHANNELS // 4)))
            lines += [F.gelu(F.linear(x, second, self.second_bias)) for second in self.second]
        pixels = torch.stack(lines, dim=2).view(count, 4 * rows, 4 * columns, _FINE)
        logits = hyper[:, :4] @ reshape(pixels, 0, -1, _FINE).transpose(1, 2)
        return logits.view(count, 4, 4 * rows, 4 * columns) + self._fine(pixels, hyper[:, 4:], features)

    def _fine(self, pixels: Tensor, hyper: Tensor, features: Tensor) -> Tensor:
        """Return the (N, 1, 4·rows, 4·columns) logits of the added token."""
        count, height, width, _ = pixels.shape
        x = F.conv2d(pixels.permute(0, 3, 1, 2), self.mix, self.mix_bias, padding=1).permute(0, 2, 3, 1)
        x = F.gelu(self.mix_norm(x))
        kernel = (hyper @ self.absorbed).view(count, CHANNELS // 4, 9)
        planes = F.pad(
            (kernel.transpose(1, 2) @ reshape(x, 0, -1, CHANNELS // 4).transpose(1, 2)).view(count, 9, height, width),
            (1, 1, 1, 1),
        )
        shifted = [planes[:, i : i + 1, i // 3 : i // 3 + height, i % 3 : i % 3 + width] for i in range(9)]
        plain = hyper @ reshape(features, 0, -1, _FINE).transpose(1, 2) + hyper @ self.absorbed_bias
        return torch.stack(shifted).sum(dim=0) + plain.view(count, 1, height, width)


class HqMaskDecoder(MaskDecoder):
    """`MaskDecoder` with an input after the image tokens: high_res_0 (1, 256, 256, 32) float32, see `Features`."""

    tokens: ClassVar = {**MaskDecoder.tokens, "hf_token": 1}
    outputs: ClassVar = 6
    upscaling_class = HqUpscaling

    def __init__(self, weights: Weights, name: str = "mask_decoder") -> None:
        super().__init__(weights, name)
        widths = (CHANNELS, CHANNELS, _FINE)
        self.fine = nn.ModuleList(
            [Linear(weights, f"{name}.hf_mlp.layers.{i}", CHANNELS, width) for i, width in enumerate(widths)]
        )

    def forward(  # type: ignore[override]
        self, image_tokens: Tensor, high_res_0: Tensor, point_coords: Tensor, point_labels: Tensor, token_size: Tensor
    ) -> tuple[Tensor, Tensor]:
        prompt, absent = self._prompt(point_coords, point_labels)
        grid = image_tokens.view(-1, GRID * GRID, CHANNELS)
        tokens, image = self._attend(prompt, absent, grid, self.position.grid())
        part = image.view(-1, GRID, GRID, CHANNELS)[:, : token_size[0], : token_size[1]]
        features = high_res_0[:, : 4 * token_size[0], : 4 * token_size[1]]
        fine = tokens[:, 5:]
        for i, layer in enumerate(self.fine):
            fine = layer(fine) if i == 2 else F.relu(layer(fine))
        hyper = torch.cat([self._hyper(tokens[:, 1:5]), fine], dim=1)
        return self.upscaling(part, hyper, features), self._score(tokens[:, 0])


HQ_SAM = Family(
    name="hq-sam",
    title="HQ-SAM",
    mark="mask_decoder.hf_token.weight",
    url="https://github.com/SysCV/sam-hq",
    license="Apache-2.0",
    notice="""\
HQ-SAM, copyright its authors (Lei Ke and others), Apache License 2.0.
It contains work of Segment Anything, copyright Meta Platforms, Inc. and affiliates, Apache License 2.0. Light HQ-SAM
contains work of MobileSAM, copyright its authors (Chaoning Zhang and others), Apache License 2.0, and of TinyViT,
copyright (c) Microsoft Corporation, MIT License (below).""",
    licenses=("Apache-2.0.txt", "MIT-TinyViT.txt"),
    encoder=encoder,
    decoder=HqMaskDecoder,
    # Cut features would lack the pixels around them, which the decoder's convolutions see.
    contract=Contract(high_res=(FeatureMap("high_res_0", 4, _FINE),), square=True, fixed=True),
)
