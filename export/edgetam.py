"""The family EdgeTAM (arXiv 2501.07256), whose image part is SAM 2's with another trunk."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from edge_sam.export.repvit import RepViT
from edge_sam.export.sam2 import SAM2
from edge_sam.export.sam2_encoder import Sam2Encoder


class EdgeTamEncoder(Sam2Encoder):
    """`Sam2Encoder` with RepViT."""

    trunk_class: ClassVar = RepViT


EDGETAM = dataclasses.replace(
    SAM2,
    name="edgetam",
    title="EdgeTAM",
    mark="image_encoder.trunk.body.stem.conv1.c.weight",
    url="https://github.com/facebookresearch/EdgeTAM",
    notice="""\
EdgeTAM, copyright Meta Platforms, Inc. and affiliates, Apache License 2.0. Its trunk is RepViT, copyright its authors
(Ao Wang and others), Apache License 2.0.""",
    encoder=EdgeTamEncoder,
    unused=(*SAM2.unused, "spatial_perceiver."),
)
