"""A SAM-family model as torch modules that can be exported, read from its checkpoint."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from edge_sam.bundles.contract import CHANNELS
from edge_sam.export.checkpoint import Weights, read_checkpoint
from edge_sam.export.families import find_family
from edge_sam.export.family import Family
from edge_sam.export.mask_decoder import MaskDecoder
from edge_sam.export.prompt_encoder import MaskEncoder
from edge_sam.imaging.geometry import FRAME

HALF_FROM = 4096
"""Tensors with fewer elements (norms, biases, position frequencies) always keep 32 bits: they are a thousandth of
the size and the most sensitive."""


@dataclass(frozen=True)
class TorchModel:
    """The parts of a SAM-family model as torch modules, and the constants that go with them.

    Attributes
    ----------
    encoder, mask_encoder, decoder : nn.Module
        See `Family`, `MaskEncoder`, `MaskDecoder` for inputs and outputs.
    no_mask : Tensor, (256,)
        Added to every image token where a prompt has no mask.
    sha256 : str
        Of the checkpoint.
    half : bool
        Whether large tensors have values that fp16 holds exactly.
    """

    encoder: nn.Module
    mask_encoder: nn.Module
    decoder: nn.Module
    no_mask: Tensor
    sha256: str
    half: bool = False

    @torch.no_grad()
    def padding(self) -> Tensor:
        """(64, 64, 256) embedding of a frame that is all padding."""
        embedding: Tensor = self.encoder(torch.zeros(1, 3, FRAME, FRAME))[0]
        return embedding

    def rounded_to_half(self) -> TorchModel:
        """Return a copy whose large tensors have values that fp16 holds exactly."""
        model = dataclasses.replace(copy.deepcopy(self), half=True)
        for module in (model.encoder, model.mask_encoder, model.decoder):
            for parameter in module.parameters():
                if parameter.numel() >= HALF_FROM:
                    parameter.data = parameter.data.half().float()
        return model


def load_model(checkpoint: Path) -> tuple[Family, TorchModel]:
    """Read a checkpoint.

    Returns
    -------
    family : Family
        Which one it is of.
    model : TorchModel

    Raises
    ------
    InputError
        Not a readable checkpoint, one of a family that cannot be exported, or tensors missing, unknown or misshapen
        (named).
    """
    tensors, sha256 = read_checkpoint(checkpoint)
    family = find_family(tensors, checkpoint)
    weights = Weights(tensors)
    model = TorchModel(
        encoder=family.encoder(weights).eval(),
        mask_encoder=MaskEncoder(weights).eval(),
        decoder=MaskDecoder(weights).eval(),
        no_mask=weights.take("prompt_encoder.no_mask_embed.weight", 1, CHANNELS)[0],
        sha256=sha256,
    )
    weights.finish()
    return family, model
