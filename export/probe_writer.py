"""Reference outputs of PyTorch for the probe images of the guard (`edge_sam.inference.guard`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edge_sam.bundles.contract import INPUTS, OUTPUTS, Role
from edge_sam.export.torch_model import TorchModel
from edge_sam.inference.guard import run_probe
from edge_sam.runtimes import Session, Tensors


class _TorchSession(Session):
    """A torch module behind the protocol of `edge_sam.runtimes.Session`."""

    provider = "PyTorch"

    def __init__(self, role: Role, module: nn.Module) -> None:
        self._role, self._module, self.input_names = role, module, list(INPUTS[role])

    @torch.no_grad()
    def run(self, inputs: Mapping[str, Any]) -> Tensors:
        results = self._module(*(torch.from_numpy(np.ascontiguousarray(inputs[name])) for name in self.input_names))
        results = results if isinstance(results, tuple) else (results,)
        return {name: result.numpy() for name, result in zip(OUTPUTS[self._role], results, strict=True)}


@dataclass
class _TorchParts:
    encoder: Session
    decoder: Session
    padding: NDArray[np.float32]
    no_mask: NDArray[np.float32]


def probe_values(model: TorchModel, padding: NDArray[np.float32]) -> Tensors:
    """Run the probe images in PyTorch.

    Parameters
    ----------
    model : TorchModel
        The model with the bundle's weights.
    padding : ndarray of float32, (64, 64, 256)
        The bundle's embedding of padding.

    Returns
    -------
    dict of str to ndarray of float32
        See `edge_sam.bundles.contract.PROBED`.
    """
    return run_probe(
        _TorchParts(
            _TorchSession("encoder", model.encoder),
            _TorchSession("decoder", model.decoder),
            padding,
            model.no_mask.numpy(),
        )
    )
