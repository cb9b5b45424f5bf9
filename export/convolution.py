"""Convolutions with a batch norm folded in."""

from __future__ import annotations

from torch import Tensor, nn, sqrt
from torch.nn import functional as F

from edge_sam.export.checkpoint import Weights
from edge_sam.export.layers import parameter

_EPS = 1e-5


def batch_norm(weights: Weights, name: str, width: int, eps: float = _EPS) -> tuple[Tensor, Tensor]:
    """Return what a batch norm multiplies by and what it adds, (width,) float64 each."""
    gain, bias, mean, variance = (
        weights.take(f"{name}.{part}", width).double() for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gain / sqrt(variance + eps)
    return scale, bias - mean * scale


def folded(weights: Weights, name: str, channels: tuple[int, int], size: int, groups: int = 1) -> tuple[Tensor, Tensor]:
    """Return kernel and bias, both float64, of a convolution `name`.c with its batch norm `name`.bn folded in.

    Parameters
    ----------
    weights : Weights
        The checkpoint.
    name : str
        Name of the pair.
    channels : tuple of int
        Input and output channels.
    size : int
        Height and width of the kernel.
    groups : int
        Groups of channels that are convolved separately.
    """
    inputs, outputs = channels
    kernel = weights.take(f"{name}.c.weight", outputs, inputs // groups, size, size).double()
    scale, bias = batch_norm(weights, f"{name}.bn", outputs)
    return kernel * scale[:, None, None, None], bias


class FoldedConv(nn.Module):
    """A convolution with its batch norm folded in. (1, C, H, W) to (1, C', H', W')."""

    def __init__(
        self, weights: Weights, name: str, channels: tuple[int, int], size: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        kernel, bias = folded(weights, name, channels, size, groups)
        self.weight, self.bias = parameter(kernel.float()), parameter(bias.float())
        self.stride, self.padding, self.groups = stride, size // 2, groups

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, groups=self.groups)
