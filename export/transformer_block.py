"""The block of a vision transformer (arXiv 2010.11929), written for export."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from edge_sam.export.checkpoint import Weights
from edge_sam.export.layers import Linear, Norm

EPS = 1e-6
"""Epsilon of the norms of SAM's ViT and of EfficientSAM's."""


class TransformerBlock(nn.Module):
    """Attention and perceptron, each after a norm and beside a shortcut. (1, rows, columns, width) throughout.

    Parameters
    ----------
    weights : Weights
        Tensors of the checkpoint. The width of the perceptron is read from them.
    name : str
        Name of the block in the checkpoint.
    attention : Module
        Attention between the tokens, (1, rows, columns, width) to the same shape.
    perceptron : tuple of str
        Names of the perceptron's two layers in the block.
    width : int
        Channels of a token.
    """

    def __init__(
        self, weights: Weights, name: str, attention: nn.Module, perceptron: tuple[str, str], width: int
    ) -> None:
        super().__init__()
        first, second = (f"{name}.{layer}" for layer in perceptron)
        hidden = (weights.shape(f"{first}.weight") or (4 * width,))[0]
        self.norm1 = Norm(weights, f"{name}.norm1", width, EPS)
        self.attention = attention
        self.norm2 = Norm(weights, f"{name}.norm2", width, EPS)
        self.lin1 = Linear(weights, first, width, hidden)
        self.lin2 = Linear(weights, second, hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        # With one token axis instead of two, OpenVINO fuses the activation into the product (docs/lab/performance.md).
        tokens = x.view(1, -1, x.shape[3])
        output: Tensor = tokens + self.lin2(F.gelu(self.lin1(self.norm2(tokens))))
        return output.view(x.shape)
