"""HQ-SAM and Light HQ-SAM against the reference implementation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from families.graphs import check_encoder
from families.recorded import CASES, answer, fine_features, load, picture


@torch.no_grad()
@pytest.mark.parametrize("name", ["hq-sam", "light-hq-sam"])
def test_encoder(tmp_path: Path, name: str) -> None:
    recording = load(name)
    model = recording.model(tmp_path)
    embedding, features = model.encoder(picture(1024, 1024))
    recording.check("encoder", embedding, 1e-4)
    recording.check("features", features, 1e-4)
    if name == "hq-sam":
        check_encoder(model, ((128, 192), (64, 320)))


def test_decoder(tmp_path: Path) -> None:
    recording = load("hq-sam")
    model = recording.model(tmp_path)
    for case in CASES[1::2]:
        recording.check_answer(case.name, answer(model, case, fine_features()))
