"""The known silent failure: TinyViT in plain fp16, where LayerNorm's squares overflow."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from edge_sam.bundles.bundle import open_bundle
from edge_sam.errors import RuntimeUnavailableError
from edge_sam.export.probe_writer import probe_values
from edge_sam.export.torch_model import TorchModel, load_model
from edge_sam.inference.guard import check_probe
from edge_sam.runtimes import Tensors

BUNDLE = open_bundle("mobile-sam")


class Half(torch.nn.Module):
    """A module computed in fp16 from fp32 inputs."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = copy.deepcopy(module).half()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.module(image.half()).float()
        return output


def plain_layer_norm(x: torch.Tensor, shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """LayerNorm as a runtime computes it that keeps every step in x's precision: sums in fp16 as well."""
    centred = x - x.mean(-1, keepdim=True)
    variance = (centred * centred).cumsum(-1)[..., -1:] / shape[-1]
    normed = centred * torch.rsqrt(variance + eps)
    return normed if weight is None else normed * weight + bias


@pytest.fixture(scope="module")
def halved(checkpoint: Path) -> TorchModel:
    _, model = load_model(checkpoint)
    return dataclasses.replace(model, encoder=Half(model.encoder))


def probe(model: TorchModel) -> Tensors:
    return probe_values(model, BUNDLE.constants("w16")["padding"])


def test_fp16_with_the_statistics_in_fp32_passes(halved: TorchModel) -> None:
    differences = check_probe(probe(halved), BUNDLE.probe("w16"), "fp16")
    assert 1e-4 < max(differences.values()) < 1e-2


def test_plain_fp16_is_found_out(halved: TorchModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(F, "layer_norm", plain_layer_norm)
    computed, stored = probe(halved), BUNDLE.probe("w16")
    ours, reference = (each["image_embedding"].ravel() for each in (computed, stored))
    assert np.corrcoef(ours, reference)[0, 1] < 0.5
    with pytest.raises(RuntimeUnavailableError, match="hardly differs between two different images"):
        check_probe(computed, stored, "fp16")
