"""SAM's ViT and SlimSAM against the reference implementation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from families.graphs import check_encoder
from families.recorded import CASES, Case, answer, load, picture

from edge_sam.export.torch_model import TorchModel


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TorchModel:
    return load("sam").model(tmp_path_factory.mktemp("vit"))


@torch.no_grad()
@pytest.mark.parametrize("size", [(1024, 1024), (400, 576), (16, 320)])
def test_encoder(model: TorchModel, size: tuple[int, int]) -> None:
    load("sam").check(f"encoder {size[0]}x{size[1]}", model.encoder(picture(*size)), 1e-4)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_decoder(model: TorchModel, case: Case) -> None:
    load("sam").check_answer(case.name, answer(model, case))


@torch.no_grad()
def test_a_pruned_model(tmp_path: Path) -> None:
    """Widths that are no multiple of the heads' usual 64 are read from the tensors."""
    recording = load("slim-sam")
    pruned = recording.model(tmp_path)
    recording.check("encoder 400x576", pruned.encoder(picture(400, 576)), 1e-4)


@torch.no_grad()
def test_positions_are_cut_not_stretched(tmp_path: Path) -> None:
    """Whole windows of a photograph in the corner of the frame give the tokens that the photograph gives alone."""
    recording = load("sam-windows")
    alone = recording.model(tmp_path).encoder(picture(224, 448))[:, :13, :27]
    recording.check("whole windows", alone, 1e-4)


@torch.no_grad()
def test_the_names_of_transformers(tmp_path: Path) -> None:
    recording = load("transformers")
    model = recording.model(tmp_path)
    recording.check("encoder", model.encoder(picture(1024, 1024)), 1e-4)
    recording.check_answer(CASES[1].name, answer(model, CASES[1]))


def test_graph(model: TorchModel) -> None:
    check_encoder(model, ((336, 256), (16, 320)))
