"""Agreement with MobileSAM's own torch predictor, same checkpoint and prompts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from conftest import PHOTOGRAPHS, ROOT, iou, read_pixels, read_rgb

import edge_sam
from edge_sam import Predictor, Prompt
from edge_sam.bundles.bundle import Bundle
from edge_sam.export.reference import load_predictor

pytestmark = pytest.mark.thorough

DATA = ROOT.parent / "shared" / "data"
EVERY = 10
"""Of the development photographs every so many; `edge-sam eval` takes them all."""


@pytest.fixture(scope="module")
def upstream(checkpoint: Path) -> Any:
    return load_predictor(checkpoint)


@pytest.fixture(scope="module")
def fp32(exported: Bundle) -> Predictor:
    return edge_sam.load(exported.path, precision="fp32")


def photographs() -> Iterator[Path]:
    yield from (path for path in sorted(PHOTOGRAPHS.iterdir()) if path.suffix != ".md")
    for folder in ("stills", "grabcut"):
        yield from sorted((DATA / folder / "images").glob("*.jpg"))[::EVERY]


def test_the_encoder_agrees(upstream: Any, fp32: Predictor, coffee: np.ndarray) -> None:
    upstream.set_image(coffee)
    embedding = fp32.encode(coffee, square=True)
    theirs = upstream.features[0].permute(1, 2, 0).numpy()
    assert np.abs(embedding.features - theirs).max() <= 1e-4
    noise = torch.rand(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(0)) * 5 - 2.5
    with torch.no_grad():
        theirs = upstream.model.image_encoder(noise)[0].permute(1, 2, 0).numpy()
    ours = fp32.model.active.encoder.run({"image": noise.numpy()})["image_embedding"][0]
    assert np.abs(ours - theirs).max() <= 1e-4


def test_the_stored_padding_is_the_encoder_s(upstream: Any, fp32: Predictor) -> None:
    with torch.no_grad():
        theirs = upstream.model.image_encoder(torch.zeros(1, 3, 1024, 1024))[0].permute(1, 2, 0).numpy()
    assert np.abs(fp32.model.active.padding - theirs).max() <= 1e-4


def test_logits_agree_for_every_kind_of_prompt(upstream: Any, fp32: Predictor, coffee: np.ndarray) -> None:
    upstream.set_image(coffee)
    embedding = fp32.encode(coffee, square=True)
    points, labels = np.array([(250, 120), (420, 330)]), np.array([1, 0])
    box = np.array((76, 18, 478, 390))
    mask = upstream.predict(box=box, multimask_output=False)[2]
    for p, b, m in [(p, b, m) for p in (0, 1) for b in (0, 1) for m in (0, 1) if p or b or m]:
        theirs, scores, logits = upstream.predict(
            point_coords=points if p else None,
            point_labels=labels if p else None,
            box=box if b else None,
            mask_input=mask if m else None,
        )
        prompt = Prompt(
            points=points if p else None,
            labels=labels if p else None,
            box=box if b else None,
            mask=mask if m else None,
        )
        ours = fp32.predict(embedding, prompt)
        order = np.argsort(-scores, kind="stable")
        np.testing.assert_allclose(ours.scores, scores[order], atol=1e-3)
        np.testing.assert_allclose(ours.logits, logits[order], atol=5e-3)
        assert (ours.masks != theirs[order]).mean() < 0.002


def test_masks_agree_over_photographs(upstream: Any, fp32: Predictor, predictor: Predictor) -> None:
    """Held to: mean 0.995, worst 0.95 for fp32 on the padded square. The package's 16-bit weights: mean 0.995."""
    agreement: dict[str, list[float]] = {"fp32": [], "w16": []}
    for path in photographs():
        image = read_rgb(path)
        height, width = image.shape[:2]
        point = (width // 2, height // 2)
        box = (width // 5, height // 5, width * 4 // 5, height * 4 // 5)
        upstream.set_image(image)
        by_point, _, _ = upstream.predict(np.array([point]), np.array([1]))
        by_box, _, _ = upstream.predict(box=np.array(box), multimask_output=False)
        for ours in (fp32, predictor):
            embedding = ours.encode(image, square=True)
            mine = ours.predict(embedding, Prompt(points=[point])).masks
            # The order of masks may flip where two predicted IoUs are equal to the last digit.
            agreement[ours.precision] += [max(iou(mask, other) for other in by_point) for mask in mine]
            mine = ours.predict(embedding, Prompt(box=box), multimask=False, prefer="single").masks
            agreement[ours.precision].append(iou(mine[0], by_box[0]))
    assert len(agreement["fp32"]) >= 4 * 4
    assert np.mean(agreement["fp32"]) >= 0.995
    assert np.min(agreement["fp32"]) >= 0.95
    assert np.mean(agreement["w16"]) >= 0.995


@pytest.mark.skipif(not DATA.is_dir(), reason="the development photographs are not here")
def test_own_tokens_with_stored_padding_keep_box_accuracy(predictor: Predictor) -> None:
    """Held to 0.3 points of the padded square over all 80; this sample of 16 may stray by 1."""
    scores: dict[bool, list[float]] = {False: [], True: []}
    for folder in ("stills", "grabcut"):
        for path in sorted((DATA / folder / "images").glob("*.jpg"))[::5]:
            labels = read_pixels(DATA / folder / "masks" / f"{path.stem}.png", cv2.IMREAD_GRAYSCALE)
            truth, valid = labels == 255, labels != 128
            y, x = np.nonzero(truth)
            prompt = Prompt(box=(x.min(), y.min(), x.max(), y.max()))
            for square in (False, True):
                embedding = predictor.encode(read_rgb(path), square=square)
                result = predictor.predict(embedding, prompt, multimask=False, prefer="single")
                scores[square].append(iou(result.masks[0] & valid, truth & valid))
    assert abs(np.mean(scores[False]) - np.mean(scores[True])) < 0.01
