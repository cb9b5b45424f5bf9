"""A SAM-family model as exportable torch modules."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from edge_sam.bundles.contract import CHANNELS, SAM, Contract
from edge_sam.export.checkpoint import read_checkpoint
from edge_sam.export.families import find_family
from edge_sam.export.family import Family
from edge_sam.export.mask_decoder import SeparateUpscaling
from edge_sam.export.prompt_encoder import MaskEncoder
from edge_sam.export.transformers_names import official_names
from edge_sam.imaging.view import FRAME

HALF_FROM = 4096
"""Tensors with fewer elements (norms, biases, position frequencies) keep 32 bits: they are a thousandth of the size and
the most sensitive."""


@dataclass(frozen=True)
class TorchModel:
    """The components of a SAM-family model as torch modules, and its constants.

    Attributes
    ----------
    encoder, mask_encoder, decoder : nn.Module
        See `contract` for inputs and outputs. If the family takes no mask prompt, the mask encoder does nothing.
    upscaling : nn.Module
        The second part of the decoder. It does nothing without `Contract.separate_upscaling`.
    no_mask : Tensor, (256,)
        Added to every image token if a prompt has no mask.
    sha256 : str
        Hex digest of the checkpoint.
    half : bool
        Whether the values of large tensors are exact in fp16.
    contract : Contract
        What the components exchange.
    """

    encoder: nn.Module
    mask_encoder: nn.Module
    decoder: nn.Module
    upscaling: nn.Module
    no_mask: Tensor
    sha256: str
    half: bool = False
    contract: Contract = SAM

    def decode(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return low-res logits and predicted IoU for the decoder's inputs."""
        outputs = self.decoder(*inputs)
        if not self.contract.separate_upscaling:
            logits, scores = outputs
        else:
            scores, attended, weights = outputs
            logits = self.upscaling(attended, weights, inputs[-1])
        return logits, scores

    @torch.no_grad()
    def padding(self) -> Tensor:
        """Return the (64, 64, 256) image embedding of a frame that is all padding."""
        side = FRAME // self.contract.fit.reduction
        embedding: Tensor = self.encoder(torch.zeros(1, 3, side, side))[0]
        return embedding

    def rounded_to_half(self) -> TorchModel:
        """Return a copy whose large tensors are rounded to fp16 values."""
        model = dataclasses.replace(copy.deepcopy(self), half=True)
        for role in self.contract.graphs:
            for parameter in getattr(model, role).parameters():
                if parameter.numel() >= HALF_FROM:
                    parameter.data = parameter.data.half().float()
        return model


def load_model(checkpoint: Path) -> tuple[Family, TorchModel]:
    """Read a checkpoint.

    Returns
    -------
    family : Family
        The family of the checkpoint.
    model : TorchModel

    Raises
    ------
    InputError
        The checkpoint is not readable, its family cannot be exported, or tensors are missing, unknown or misshapen.
    """
    read, sha256 = read_checkpoint(checkpoint)
    tensors = official_names(read)
    family = find_family(tensors, checkpoint)
    return family, make_model(family, tensors, sha256)


def make_model(family: Family, tensors: Mapping[str, Tensor], sha256: str) -> TorchModel:
    """Make the components of a family from the tensors of a checkpoint, all of which must be used.

    Raises
    ------
    InputError
        Tensors are missing, unknown or misshapen.
    """
    weights = family.weights(tensors)
    fit, masks = family.contract.fit, family.contract.masks
    decoder = family.decoder(weights).eval()
    model = TorchModel(
        encoder=family.encoder(weights).eval(),
        mask_encoder=MaskEncoder(weights, free_grid=not fit.padded).eval() if masks else nn.Identity(),
        decoder=decoder,
        upscaling=SeparateUpscaling(decoder) if family.contract.separate_upscaling else nn.Identity(),
        no_mask=weights.take("prompt_encoder.no_mask_embed.weight", 1, CHANNELS)[0] if masks else torch.zeros(CHANNELS),
        sha256=sha256,
        contract=family.contract,
    )
    weights.finish()
    return model
