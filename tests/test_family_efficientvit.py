"""EfficientViT-SAM against the reference implementation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from families.graphs import check_encoder
from families.recorded import CASES, answer, load, picture


@pytest.mark.thorough
@torch.no_grad()
@pytest.mark.parametrize(("name", "side", "stride"), [("efficientvit-sam", 512, 32), ("efficientvit-sam-xl", 1024, 64)])
def test_encoder(tmp_path: Path, name: str, side: int, stride: int) -> None:
    recording = load(name)
    model = recording.model(tmp_path, "state_dict")
    recording.check(f"encoder {side}x{side}", model.encoder(picture(side, side)), 1e-4)
    if name == "efficientvit-sam-xl":
        check_encoder(model, ((2 * stride, 3 * stride), (stride, 5 * stride)))


def test_decoder(tmp_path: Path) -> None:
    recording = load("efficientvit-sam")
    model = recording.model(tmp_path)
    for case in CASES[::2]:
        recording.check_answer(case.name, answer(model, case))
