"""RepViT (arXiv 2307.09283), the trunk of several families' image encoders, written for export.

Names are timm's, which EdgeTAM's checkpoints have. Checkpoints with the names of RepViT's authors fit after
`AUTHORS_NAMES`. All batch norms are folded, and the branches of each token mixer are one convolution.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from edge_sam.export.checkpoint import Weights
from edge_sam.export.convolution import FoldedConv, batch_norm, folded
from edge_sam.export.layers import parameter

AUTHORS_NAMES = (
    (".channel_mixer.m.0.", ".channel_mixer.conv1."),
    (".channel_mixer.m.2.", ".channel_mixer.conv2."),
    (".token_mixer.0.", ".token_mixer."),
    (".token_mixer.1.", ".se."),
    (".token_mixer.2.", ".channel_downsample."),
)
"""For `Family.renamed`: RepViT's authors number the parts of a block. Of a block with stride, ``.token_mixer`` is then
the convolution that `Downsample` takes as `depthwise`."""


class TokenMixer(nn.Module):
    """A 3×3 and a 1×1 depthwise convolution and the input, added, as one 3×3 convolution. (1, C, H, W) throughout.

    Each convolution has a batch norm, or one batch norm follows the sum.
    """

    def __init__(self, weights: Weights, name: str, width: int) -> None:
        super().__init__()
        kernel, bias = folded(weights, f"{name}.conv", (width, width), 3, width)
        if weights.shape(f"{name}.conv1.c.weight"):
            point, shift = folded(weights, f"{name}.conv1", (width, width), 1, width)
        else:
            point = weights.take(f"{name}.conv1.weight", width, 1, 1, 1).double()
            shift = weights.take(f"{name}.conv1.bias", width).double()
        kernel[:, :, 1, 1] += point[:, :, 0, 0] + 1
        bias = bias + shift
        if weights.shape(f"{name}.bn.weight"):
            scale, shift = batch_norm(weights, f"{name}.bn", width)
            kernel, bias = kernel * scale[:, None, None, None], bias * scale + shift
        self.weight, self.bias = parameter(kernel.float()), parameter(bias.float())

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, padding=1, groups=len(self.weight))


class SqueezeExcite(nn.Module):
    """Weight the channels by what a small perceptron makes of their means. (1, C, H, W) throughout."""

    def __init__(self, weights: Weights, name: str, width: int) -> None:
        super().__init__()
        inner = weights.shape(f"{name}.fc1.weight")[0]
        self.layers = nn.ParameterList()
        for part, inputs, outputs in (("fc1", width, inner), ("fc2", inner, width)):
            weight = weights.take(f"{name}.{part}.weight", outputs, inputs, 1, 1)
            self.layers += [parameter(weight), parameter(weights.take(f"{name}.{part}.bias", outputs))]

    def forward(self, x: Tensor) -> Tensor:
        first, first_bias, second, second_bias = self.layers
        squeezed = F.relu(F.conv2d(x.mean(dim=(2, 3), keepdim=True), first, first_bias))
        return x * F.conv2d(squeezed, second, second_bias).sigmoid()


class ChannelMixer(nn.Module):
    """A residual perceptron of 1×1 convolutions. (1, C, H, W) throughout."""

    def __init__(self, weights: Weights, name: str, width: int) -> None:
        super().__init__()
        self.conv1 = FoldedConv(weights, f"{name}.conv1", (width, 2 * width), 1)
        self.conv2 = FoldedConv(weights, f"{name}.conv2", (2 * width, width), 1)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = x + self.conv2(F.gelu(self.conv1(x)))
        return output


class Block(nn.Sequential):
    """A block without stride; about every second one has `SqueezeExcite`. (1, C, H, W) throughout."""

    def __init__(self, weights: Weights, name: str, width: int) -> None:
        excited = bool(weights.shape(f"{name}.se.fc1.weight"))
        super().__init__(
            TokenMixer(weights, f"{name}.token_mixer", width),
            *([SqueezeExcite(weights, f"{name}.se", width)] if excited else []),
            ChannelMixer(weights, f"{name}.channel_mixer", width),
        )


class Downsample(nn.Sequential):
    """Change the width and, with stride 2, halve the resolution. (1, C, H, W) to (1, C', H / stride, W / stride).

    Parameters
    ----------
    weights : Weights
        The checkpoint.
    depthwise, pointwise, mixer : str
        Names of the 3×3 and the 1×1 convolution and of the `ChannelMixer`.
    channels : tuple of int
        Input and output channels.
    stride : int
        1 or 2.
    """

    def __init__(
        self, weights: Weights, depthwise: str, pointwise: str, mixer: str, channels: tuple[int, int], stride: int = 2
    ) -> None:
        inputs, outputs = channels
        super().__init__(
            FoldedConv(weights, depthwise, (inputs, inputs), 3, stride, inputs),
            FoldedConv(weights, pointwise, channels, 1),
            ChannelMixer(weights, mixer, outputs),
        )


class Stem(nn.Module):
    """Two 3×3 convolutions with stride 2. (1, 3, H, W) to (1, C, H / 4, W / 4)."""

    def __init__(self, weights: Weights, first: str, second: str, width: int) -> None:
        super().__init__()
        self.first = FoldedConv(weights, first, (3, width // 2), 3, 2)
        self.second = FoldedConv(weights, second, (width // 2, width), 3, 2)

    def forward(self, image: Tensor) -> Tensor:
        output: Tensor = self.second(F.gelu(self.first(image)))
        return output


class RepViT(nn.Module):
    """The trunk with the names of timm.

    Input: (1, 3, H, W) float32, normalised RGB, H and W multiples of 32.
    Outputs: the tokens of the four stages, channels-last, (1, H / s, W / s, C) with s = 4, 8, 16, 32.

    Attributes
    ----------
    widths : list of int
        Channels of the four stages.
    """

    def __init__(self, weights: Weights, name: str = "image_encoder.trunk.body") -> None:
        super().__init__()
        convs = [f"{name}.stem.conv2", *(f"{name}.stages_{i}.downsample.channel_downsample" for i in (1, 2, 3))]
        self.widths = [(weights.shape(f"{conv}.c.weight") or (0,))[0] for conv in convs]
        self.stem = Stem(weights, f"{name}.stem.conv1", convs[0], self.widths[0])
        self.stages = nn.ModuleList(
            [
                nn.Sequential(*_downsampling(weights, f"{name}.stages_{i}.downsample", (self.widths[i - 1], width)))
                if i
                else nn.Sequential()
                for i, width in enumerate(self.widths)
            ]
        )
        for i, (stage, width) in enumerate(zip(self.stages, self.widths, strict=True)):
            blocks, depth = f"{name}.stages_{i}.blocks", 0
            while weights.shape(f"{blocks}.{depth}.token_mixer.conv.c.weight"):
                stage.append(Block(weights, f"{blocks}.{depth}", width))
                depth += 1
        weights.ignore(f"{name}.", suffix=".bn.num_batches_tracked")

    def forward(self, image: Tensor) -> list[Tensor]:
        x = self.stem(image)
        outputs = []
        for stage in self.stages:
            x = stage(x)
            outputs.append(x.permute(0, 2, 3, 1))
        return outputs


def _downsampling(weights: Weights, name: str, channels: tuple[int, int]) -> list[nn.Module]:
    """Return the blocks between two stages."""
    names = (f"{name}.spatial_downsample", f"{name}.channel_downsample", f"{name}.ffn")
    return [Block(weights, f"{name}.pre_block", channels[0]), Downsample(weights, *names, channels)]
