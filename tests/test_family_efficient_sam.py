"""EfficientSAM against the reference implementation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from families.graphs import check_encoder, session
from families.recorded import CASES, Recording, answer, load, picture

from edge_sam.export.torch_model import TorchModel

NAME = "efficient-sam"


@pytest.fixture(scope="module")
def recording() -> Recording:
    return load(NAME)


@pytest.fixture(scope="module")
def model(recording: Recording, tmp_path_factory: pytest.TempPathFactory) -> TorchModel:
    return recording.model(tmp_path_factory.mktemp(NAME), "model")


@torch.no_grad()
def test_encoder(recording: Recording, model: TorchModel) -> None:
    recording.check("encoder 1024x1024", model.encoder(picture(1024, 1024)), 1e-4)
    check_encoder(model, ((128, 192), (16, 320)))


def test_decoder(recording: Recording, model: TorchModel) -> None:
    for case in CASES:
        if not case.masked:
            recording.check_answer(case.name, answer(model, case))


@torch.no_grad()
def test_decoder_graph(model: TorchModel) -> None:
    """Rows of unequal length, shorter and longer than the six slots."""
    graph = session(model, "decoder")
    image = picture(160, 96)[:, :1, :, :].new_ones(1, 10, 6, 256) * torch.linspace(-1, 1, 256)
    for count in (1, 3, 7, 9):
        labels = torch.ones(2, count, dtype=torch.int64)
        labels[1, count // 2 + 1 :] = -2
        labels[0, -1] = -1
        coords = 90 * torch.rand(2, count, 2, generator=torch.Generator().manual_seed(count))
        inputs = {"image_tokens": image, "point_coords": coords, "point_labels": labels}
        ours = graph.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
        for mine, theirs in zip(ours, model.decoder(*inputs.values()), strict=True):
            np.testing.assert_allclose(mine, theirs.numpy(), atol=1e-3)


@torch.no_grad()
def test_a_short_row_among_long_ones_gives_the_same_answer(model: TorchModel) -> None:
    image = torch.linspace(-1, 1, 256).expand(1, 8, 8, 256)
    coords = torch.tensor([[[20.0, 30.0]] * 9, [[100.0, 90.0]] * 9])
    labels = torch.tensor([[1] * 9, [1, -1] + [-2] * 7])
    together = model.decoder(image, coords, labels)
    alone = model.decoder(image, coords[1:, :2], labels[1:, :2])
    for ours, theirs in zip(together, alone, strict=True):
        assert float((ours[1:] - theirs).abs().max()) < 1e-3
