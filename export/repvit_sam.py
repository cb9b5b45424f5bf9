"""The families EdgeSAM (arXiv 2312.06660) and RepViT-SAM (arXiv 2312.05760): SAM with a RepViT as image encoder."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from edge_sam.bundles.contract import CHANNELS, Contract
from edge_sam.export.bicubic import enlarge
from edge_sam.export.checkpoint import Weights
from edge_sam.export.family import Family
from edge_sam.export.layers import parameter
from edge_sam.export.neck import Neck
from edge_sam.export.repvit import AUTHORS_NAMES, Block, Downsample, Stem
from edge_sam.imaging.view import Fit


class Trunk(nn.Module):
    """RepViT with the names of its authors, after `AUTHORS_NAMES`.

    Input: (1, 3, H, W) float32, normalised RGB. Outputs: the tokens of the stages, channels-last.

    Parameters
    ----------
    weights : Weights
        The checkpoint.
    strides : tuple of int
        Of each stage but the first, whose stride is 4.
    """

    def __init__(self, weights: Weights, strides: tuple[int, ...], name: str = "image_encoder.features") -> None:
        super().__init__()
        width = (weights.shape(f"{name}.0.2.c.weight") or (1,))[
            0
        ]  # A missing one counts as one channel, so that it can be named.
        self.widths = [width]
        stages: list[list[nn.Module]] = [[Stem(weights, f"{name}.0.0", f"{name}.0.2", width)]]
        block = f"{name}.1"
        while weights.shape(f"{block}.channel_mixer.conv1.c.weight"):
            outputs = weights.shape(f"{block}.channel_downsample.c.weight")
            if outputs and len(stages) <= len(strides):
                names = (f"{block}.token_mixer", f"{block}.channel_downsample", f"{block}.channel_mixer")
                channels = (width, outputs[0])
                stages.append([Downsample(weights, *names, channels, strides[len(stages) - 1])])
                width = outputs[0]
                self.widths.append(width)
            else:
                stages[-1].append(Block(weights, block, width))
            block = f"{name}.{int(block.rpartition('.')[2]) + 1}"
        self.stages = nn.ModuleList([nn.Sequential(*blocks) for blocks in stages])
        weights.ignore(f"{name}.", suffix=".num_batches_tracked")

    def forward(self, image: Tensor) -> list[Tensor]:
        x, outputs = image, []
        for stage in self.stages:
            x = stage(x)
            outputs.append(x.permute(0, 2, 3, 1))
        return outputs


class EdgeSamEncoder(nn.Module):
    """EdgeSAM's image encoder, which adds the last stage, enlarged, to the one before.

    Input: (1, 3, H, W) float32, normalised RGB, H and W multiples of 32.
    Output: (1, H / 16, W / 16, 256) float32, channels-last image embedding.
    """

    def __init__(self, weights: Weights, name: str = "image_encoder") -> None:
        super().__init__()
        self.trunk = Trunk(weights, (2, 2, 2))
        fine, coarse = (self.trunk.widths + [0] * 4)[2:4]
        self.fine = parameter(weights.take(f"{name}.fuse_stage2.weight", CHANNELS, fine, 1, 1).flatten(1))
        self.coarse = parameter(weights.take(f"{name}.fuse_stage3.op_list.0.weight", CHANNELS, coarse, 1, 1).flatten(1))
        self.neck = Neck(weights, f"{name}.neck", CHANNELS)

    def forward(self, image: Tensor) -> Tensor:
        *_, fine, coarse = self.trunk(image)
        embedding: Tensor = self.neck(F.linear(fine, self.fine) + enlarge(F.linear(coarse, self.coarse), 2))
        return embedding


class RepVitSamEncoder(nn.Module):
    """RepViT-SAM's image encoder, whose last stage keeps the resolution of the one before.

    Input: (1, 3, H, W) float32, normalised RGB, H and W multiples of 16.
    Output: (1, H / 16, W / 16, 256) float32, channels-last image embedding.
    """

    def __init__(self, weights: Weights, name: str = "image_encoder") -> None:
        super().__init__()
        self.trunk = Trunk(weights, (2, 2, 1))
        self.neck = Neck(weights, f"{name}.neck", self.trunk.widths[-1])

    def forward(self, image: Tensor) -> Tensor:
        embedding: Tensor = self.neck(self.trunk(image)[-1])
        return embedding


EDGE_SAM = Family(
    name="edge-sam",
    title="EdgeSAM",
    mark="image_encoder.fuse_stage2.weight",
    url="https://github.com/chongzhou96/EdgeSAM",
    license="LicenseRef-S-Lab-1.0",
    notice="""\
EdgeSAM, copyright S-Lab, Nanyang Technological University, S-Lab License 1.0: non-commercial use only.
It contains work of Segment Anything, copyright Meta Platforms, Inc. and affiliates, Apache License 2.0, and of RepViT,
copyright its authors (Ao Wang and others), Apache License 2.0 (below).""",
    licenses=("S-Lab-1.0.txt", "Apache-2.0.txt"),
    encoder=EdgeSamEncoder,
    contract=Contract(
        fit=Fit(multiple=32), square=True, weighted_tokens=True, separate_upscaling=True
    ),  # docs/lab/families.md
    renamed=AUTHORS_NAMES,
)
REPVIT_SAM = Family(
    name="repvit-sam",
    title="RepViT-SAM",
    mark="image_encoder.features.1.token_mixer.0.bn.weight",
    url="https://github.com/THU-MIG/RepViT",
    license="Apache-2.0",
    notice="""\
RepViT-SAM, copyright its authors (Ao Wang and others), Apache License 2.0.
It contains work of Segment Anything, copyright Meta Platforms, Inc. and affiliates, Apache License 2.0.""",
    licenses=("Apache-2.0.txt",),
    encoder=RepVitSamEncoder,
    contract=Contract(square=True, weighted_tokens=True, separate_upscaling=True),  # docs/lab/families.md
    renamed=AUTHORS_NAMES,
)
