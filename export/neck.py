"""The neck of SAM's image encoder (arXiv 2304.02643, appendix A), written for export."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from edge_sam.bundles.contract import CHANNELS
from edge_sam.export.checkpoint import Weights
from edge_sam.export.layers import Norm, parameter


class Neck(nn.Module):
    """From the backbone's width to SAM's 256 channels. (1, H, W, width) to (1, H, W, 256)."""

    def __init__(self, weights: Weights, name: str, width: int) -> None:
        super().__init__()
        channels = CHANNELS
        self.project = parameter(weights.take(f"{name}.0.weight", channels, width, 1, 1).view(channels, width))
        self.mix = parameter(weights.take(f"{name}.2.weight", channels, channels, 3, 3))
        self.norms = nn.ModuleList([Norm(weights, f"{name}.{part}", channels, eps=1e-6) for part in (1, 3)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.norms[0](F.linear(x, self.project))
        x = F.conv2d(x.permute(0, 3, 1, 2), self.mix, padding=1).permute(0, 2, 3, 1)
        embedding: Tensor = self.norms[1](x)
        return embedding
