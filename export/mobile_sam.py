"""The MobileSAM family: from its checkpoint to modules that can be exported."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from edge_sam.export.checkpoint import Weights, read_checkpoint, require_family
from edge_sam.export.mask_decoder import MaskDecoder
from edge_sam.export.prompt_encoder import MaskEncoder
from edge_sam.export.tiny_vit import TinyViTEncoder
from edge_sam.export.two_way_attention import CHANNELS
from edge_sam.geometry import FRAME

FAMILY = "MobileSAM (TinyViT)"
URL = "https://github.com/ChaoningZhang/MobileSAM"
LICENSE = "Apache-2.0"
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)

LARGE = 4096
"""Tensors with fewer elements (norms, biases, position frequencies) always keep 32 bits: they are a thousandth of
the size and the most sensitive."""


@dataclass(frozen=True)
class TorchModel:
    """The parts of a SAM-family model as torch modules, and the constants that go with them.

    Attributes
    ----------
    encoder, mask_encoder, decoder : nn.Module
        See `TinyViTEncoder`, `MaskEncoder`, `MaskDecoder` for inputs and outputs.
    no_mask : Tensor, (256,)
        Added to every image token where a prompt has no mask.
    sha256 : str
        Of the checkpoint.
    """

    encoder: nn.Module
    mask_encoder: nn.Module
    decoder: nn.Module
    no_mask: Tensor
    sha256: str

    @torch.no_grad()
    def padding(self) -> Tensor:
        """(64, 64, 256) embedding of a frame that is all padding."""
        embedding: Tensor = self.encoder(torch.zeros(1, 3, FRAME, FRAME))[0]
        return embedding

    def rounded_to_half(self) -> TorchModel:
        """Return a copy whose large tensors have values that fp16 holds exactly."""
        model = copy.deepcopy(self)
        for module in (model.encoder, model.mask_encoder, model.decoder):
            for parameter in module.parameters():
                if parameter.numel() >= LARGE:
                    parameter.data = parameter.data.half().float()
        return model


def load_mobile_sam(checkpoint: Path) -> TorchModel:
    """Read MobileSAM's checkpoint.

    Raises
    ------
    InputError
        Not a readable checkpoint, one of another family, or tensors missing, unknown or misshapen (named).
    """
    tensors, sha256 = read_checkpoint(checkpoint)
    require_family(tensors, FAMILY, checkpoint)
    weights = Weights(tensors)
    model = TorchModel(
        encoder=TinyViTEncoder(weights).eval(),
        mask_encoder=MaskEncoder(weights).eval(),
        decoder=MaskDecoder(weights).eval(),
        no_mask=weights.take("prompt_encoder.no_mask_embed.weight", 1, CHANNELS)[0],
        sha256=sha256,
    )
    weights.finish()
    return model
