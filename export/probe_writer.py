"""Reference outputs of PyTorch for the probe images of the guard (`edge_sam.inference.guard`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edge_sam.bundles.contract import Contract, Role
from edge_sam.export.torch_model import TorchModel
from edge_sam.inference.decoder_parts import TwoPartDecoder
from edge_sam.inference.guard import run_probe
from edge_sam.runtimes import Session, Tensors


class _TorchSession(Session):
    """A torch module behind the protocol of `edge_sam.runtimes.Session`."""

    provider = "PyTorch"

    def __init__(self, role: Role, module: nn.Module, contract: Contract) -> None:
        self._module, self.input_names = module, list(contract.inputs[role])
        self._output_names = list(contract.outputs[role])

    @torch.no_grad()
    def run(self, inputs: Mapping[str, Any]) -> Tensors:
        results = self._module(*(torch.from_numpy(np.ascontiguousarray(inputs[name])) for name in self.input_names))
        results = results if isinstance(results, tuple) else (results,)
        return {name: result.numpy() for name, result in zip(self._output_names, results, strict=True)}


@dataclass
class _TorchParts:
    contract: Contract
    encoder: Session
    decoder: Session
    padding: NDArray[np.float32] | None
    no_mask: NDArray[np.float32]


def probe_values(model: TorchModel, padding: NDArray[np.float32] | None) -> Tensors:
    """Run the probe images in PyTorch.

    Parameters
    ----------
    model : TorchModel
        The model with the bundle's weights.
    padding : ndarray of float32, (64, 64, 256), or None
        The bundle's embedding of padding, if the family pads.

    Returns
    -------
    dict of str to ndarray of float32
        See `edge_sam.bundles.contract.Contract.probed`.
    """
    encoder = _TorchSession("encoder", model.encoder, model.contract)
    decoder: Session = _TorchSession("decoder", model.decoder, model.contract)
    if model.contract.separate_upscaling:
        decoder = TwoPartDecoder(decoder, _TorchSession("upscaling", model.upscaling, model.contract))
    return run_probe(_TorchParts(model.contract, encoder, decoder, padding, model.no_mask.numpy()))
