"""Layers that read their weights from a checkpoint by name."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge_sam.export.checkpoint import Weights


def parameter(tensor: Tensor) -> nn.Parameter:
    """Make a contiguous parameter without gradient."""
    return nn.Parameter(tensor.contiguous(), requires_grad=False)


class _Reshape(torch.autograd.Function):
    @staticmethod
    def forward(_context: Any, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        return x.reshape([x.shape[axis] if size == 0 else size for axis, size in enumerate(shape)])

    @staticmethod
    def symbolic(g: Any, x: Any, shape: tuple[int, ...]) -> Any:
        return g.op("Reshape", x, g.op("Constant", value_t=torch.tensor(shape)))


def reshape(x: Tensor, *shape: int) -> Tensor:
    """Reshape as in ONNX: 0 keeps the size of an axis, and -1 is inferred.

    Unlike `Tensor.view` with sizes read from a tensor, it leaves no shape arithmetic in the graph, which would take as
    long as a matrix product in the decoder.
    """
    reshaped: Tensor = _Reshape.apply(x, shape)  # type: ignore[no-untyped-call]
    return reshaped


class Linear(nn.Module):
    """A linear layer read by name. (..., inputs) to (..., outputs)."""

    def __init__(self, weights: Weights, name: str, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = parameter(weights.take(f"{name}.weight", outputs, inputs))
        self.bias = parameter(weights.take(f"{name}.bias", outputs))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class Norm(nn.Module):
    """LayerNorm over the last axis, read by name."""

    def __init__(self, weights: Weights, name: str, width: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = parameter(weights.take(f"{name}.weight", width))
        self.bias = parameter(weights.take(f"{name}.bias", width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)
