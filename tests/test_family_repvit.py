"""EdgeSAM and RepViT-SAM against the reference implementations."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from families.graphs import check_encoder
from families.recorded import CASES, Recording, answer, load, picture

from edge_sam.errors import InputError


@torch.no_grad()
@pytest.mark.parametrize(("name", "smallest"), [("edge-sam", (32, 96)), ("repvit-sam", (16, 96))])
def test_encoder(tmp_path: Path, name: str, smallest: tuple[int, int]) -> None:
    recording = load(name)
    model = recording.model(tmp_path)
    for height, width in ((320, 416), smallest):
        recording.check(f"encoder {height}x{width}", model.encoder(picture(height, width)), 1e-4)
    check_encoder(model, ((128, 192), smallest))


@pytest.mark.parametrize("missing", ["features.0.2.c.weight", "fuse_stage3.op_list.0.weight"])
def test_a_missing_tensor_is_named(tmp_path: Path, missing: str) -> None:
    recording = load("edge-sam")
    shapes = {name: shape for name, shape in recording.shapes.items() if name != f"image_encoder.{missing}"}
    with pytest.raises(InputError, match=f"image_encoder.{missing}"):
        Recording(shapes, recording.outputs).model(tmp_path)


def test_decoder(tmp_path: Path) -> None:
    recording = load("edge-sam")
    model = recording.model(tmp_path)
    for case in CASES[:2]:  # It is SAM's decoder, which has a test of its own.
        recording.check_answer(case.name, answer(model, case))
