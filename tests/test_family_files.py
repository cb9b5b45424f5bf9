"""Checkpoints of families as their authors and their users save them, and what a bundle of them says."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from families.recorded import load, seeded

import edge_sam
from edge_sam.bundles import graph_weights, zoo
from edge_sam.errors import InputError
from edge_sam.export import parity
from edge_sam.export.bundle_writer import export_bundle
from edge_sam.export.families import FAMILIES
from edge_sam.export.torch_model import load_model

HQ_ONLY = tuple(
    f"mask_decoder.{part}" for part in ("hf_", "compress_vit_feat", "embedding_encoder", "embedding_maskfeature")
)
NAMES = (
    "sam",
    "slim-sam",
    "edge-sam",
    "repvit-sam",
    "efficientvit-sam",
    "efficientvit-sam-xl",
    "efficient-sam",
    "hq-sam",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_is_of_one_family(name: str) -> None:
    names = load(name).shapes
    family = next(family for family in FAMILIES if family.mark in names)
    assert name.startswith(family.name) or name == "slim-sam"


def test_prefixes_of_training_programs(tmp_path: Path) -> None:
    """As micro-sam saves them, with names as in `sam.image_encoder…`."""
    tensors = seeded(load("sam").shapes)
    torch.save({"model_state": {f"sam.{name}": tensor for name, tensor in tensors.items()}}, tmp_path / "best.pt")
    family, _ = load_model(tmp_path / "best.pt")
    assert family.name == "sam"


def test_names_what_does_not_fit(tmp_path: Path) -> None:
    tensors = seeded(load("sam").shapes)
    tensors["image_encoder.pos_embed"] = torch.zeros(1, 32, 32, 32)
    tensors["image_encoder.blocks.1.surprise"] = tensors.pop("image_encoder.blocks.1.attn.rel_pos_w")
    torch.save(tensors, tmp_path / "odd.pt")
    with pytest.raises(InputError) as error:
        load_model(tmp_path / "odd.pt")
    for part in (
        "missing: image_encoder.blocks.1.attn.rel_pos_w",
        "pos_embed is [1, 32, 32, 32], expected [1, 64, 64, 32]",
        "unknown: image_encoder.blocks.1.surprise",
    ):
        assert part in str(error.value)


def test_mobile_sams_relatives(tmp_path: Path) -> None:
    """TinySAM and micro-sam's `vit_t` have MobileSAM's tensors; LiteMedSAM has another stem."""
    shapes = {name: shape for name, shape in load("light-hq-sam").shapes.items() if not name.startswith(HQ_ONLY)}
    tensors = {name: torch.ones(shape) for name, shape in shapes.items()}
    torch.save({"model_state": {f"sam.{name}": tensor for name, tensor in tensors.items()}}, tmp_path / "vit_t.pt")
    assert load_model(tmp_path / "vit_t.pt")[0].name == "mobile-sam"
    stem = "image_encoder.patch_embed.seq.0.c.weight"
    torch.save({**tensors, stem: torch.ones(32, 3, 1, 1)}, tmp_path / "lite.pth")
    with pytest.raises(InputError, match=r"seq\.0\.c\.weight is \[32, 3, 1, 1\], expected \[32, 3, 3, 3\]"):
        load_model(tmp_path / "lite.pth")


@pytest.mark.thorough
def test_export_with_weights_beside_the_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a checkpoint to masks, for a model whose encoder is beyond the limit of protobuf."""
    monkeypatch.setattr(graph_weights, "LARGEST", 1_000_000)
    all_cases = parity._prompt_cases
    monkeypatch.setattr(parity, "_SIZES", ((64, 128),))
    monkeypatch.setattr(parity, "_prompt_cases", lambda frame: itertools.islice(all_cases(frame), 2))
    torch.save(seeded(load("edge-sam").shapes), tmp_path / "edge_sam.pth")
    bundle = export_bundle(tmp_path / "edge_sam.pth", tmp_path / "small", precisions=["w16"])
    companion = bundle.component("encoder", "w16", "onnx").companion
    assert companion is not None
    assert companion.bytes > 1_000_000
    assert "S-Lab License 1.0" in (bundle.path / "LICENSE").read_text()
    predictor = edge_sam.load(bundle.path, threads=1)
    image = np.random.default_rng(0).integers(0, 256, (90, 160, 3), dtype=np.uint8)
    for square in (None, False):
        embedding = predictor.encode(image, square=square)
        assert predictor.predict(embedding, edge_sam.Prompt(points=[(80, 40)])).masks.shape == (3, 90, 160)


def test_edge_sam_asks_for_its_license() -> None:
    model = zoo.read_index()["edge-sam-3x"]
    with pytest.raises(InputError, match=r"non-commercial use only .*S-Lab.*--accept-license"):
        zoo.require_license(model, accepted=False)
    zoo.require_license(model, accepted=True)
