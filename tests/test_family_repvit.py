"""EdgeSAM and RepViT-SAM against the reference implementations."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from families.graphs import check_encoder
from families.recorded import CASES, answer, load, picture


@torch.no_grad()
@pytest.mark.parametrize(("name", "smallest"), [("edge-sam", (32, 96)), ("repvit-sam", (16, 96))])
def test_encoder(tmp_path: Path, name: str, smallest: tuple[int, int]) -> None:
    recording = load(name)
    model = recording.model(tmp_path)
    for height, width in ((320, 416), smallest):
        recording.check(f"encoder {height}x{width}", model.encoder(picture(height, width)), 1e-4)
    check_encoder(model, ((128, 192), smallest))


def test_decoder(tmp_path: Path) -> None:
    recording = load("edge-sam")
    model = recording.model(tmp_path)
    for case in CASES[:2]:  # It is SAM's decoder, which has a test of its own.
        recording.check_answer(case.name, answer(model, case))
