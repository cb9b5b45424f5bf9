"""SAM 2's image encoder (arXiv 2408.00714): a trunk and the part of its feature pyramid that images need."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from edge_sam.bundles.contract import CHANNELS
from edge_sam.export.checkpoint import Weights
from edge_sam.export.hiera import Hiera
from edge_sam.export.layers import parameter
from edge_sam.export.repvit import RepViT


class FeaturePyramid(nn.Module):
    """From the four stages of a trunk to the image embedding and two finer feature maps for the mask decoder.

    The decoder's convolutions of the finer maps (``conv_s0``, ``conv_s1``) and the pyramid's own are 1×1 and linear, so
    each pair is one product with 32 or 64 channels instead of 256. These maps include the biases of the decoder's
    transposed convolutions, to which they are added. The embedding includes ``no_mem_embed``, which stands for the
    absent memory of a video.
    """

    def __init__(self, weights: Weights, widths: list[int], name: str = "image_encoder.neck") -> None:
        super().__init__()
        lateral = [
            (
                weights.take(f"{name}.convs.{3 - stage}.conv.weight", CHANNELS, width, 1, 1).view(CHANNELS, width),
                weights.take(f"{name}.convs.{3 - stage}.conv.bias", CHANNELS),
            )
            for stage, width in enumerate(widths)
        ]
        products, biases = [], []
        for stage, channels, upscaling in ((0, CHANNELS // 8, 3), (1, CHANNELS // 4, 0)):
            weight = weights.take(f"mask_decoder.conv_s{stage}.weight", channels, CHANNELS, 1, 1)
            weight = weight.view(channels, CHANNELS).double()
            bias = weights.take(f"mask_decoder.conv_s{stage}.bias", channels).double()
            bias += weights.take(f"mask_decoder.output_upscaling.{upscaling}.bias", channels)
            products.append(weight @ lateral[stage][0].double())
            biases.append(weight @ lateral[stage][1].double() + bias)
        no_memory = weights.take("no_mem_embed", 1, 1, CHANNELS)[0, 0]
        products += [lateral[2][0], lateral[3][0]]
        biases += [lateral[2][1] + lateral[3][1] + no_memory]
        self.products = nn.ParameterList([parameter(product.float()) for product in products])
        self.biases = nn.ParameterList([parameter(bias.float()) for bias in biases])

    def forward(self, stages: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        high_res_0, high_res_1, fine = (
            F.linear(x, product, bias) for x, product, bias in zip(stages, self.products, self.biases, strict=False)
        )
        coarse = F.linear(stages[3], self.products[3])
        _, rows, columns, _ = coarse.shape
        # Each coarse token counts for 2×2 fine ones.
        embedding = fine.view(rows, 2, columns, 2, CHANNELS) + coarse.view(rows, 1, columns, 1, CHANNELS)
        return embedding.view(fine.shape), high_res_0, high_res_1


class Sam2Encoder(nn.Module):
    """The image encoder.

    Input: image (1, 3, H, W) float32, normalised RGB, H and W multiples of 32.
    Outputs, float32, channels-last: image_embedding (1, H / 16, W / 16, 256), high_res_0 (1, H / 4, W / 4, 32) and
    high_res_1 (1, H / 8, W / 8, 64).
    """

    trunk_class: ClassVar[type[Hiera] | type[RepViT]] = Hiera

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.trunk = self.trunk_class(weights)
        self.neck = FeaturePyramid(weights, self.trunk.widths)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        outputs: tuple[Tensor, Tensor, Tensor] = self.neck(self.trunk(image))
        return outputs
