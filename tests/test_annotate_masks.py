"""Which masks pass, and what a worker makes of a photograph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PHOTOGRAPHS
from scenes import disc

from edge_sam.annotate.limits import Limits
from edge_sam.annotate.records import GivenPrompt, LabelledMask, Record, Task
from edge_sam.annotate.sources import Item
from edge_sam.annotate.validators import validate
from edge_sam.annotate.worker import Annotator, Job
from edge_sam.errors import InputError
from edge_sam.imaging.masks import encode_rle
from edge_sam.imaging.view import View
from edge_sam.inference.run_options import RunOptions
from edge_sam.predictor import Predictor

SIZE = (100, 200)


def mask(x: int, radius: int, score: float = 0.9, category: str = "a", stability: float = 0.9) -> LabelledMask:
    """A disc in the middle of a picture of `SIZE`."""
    pixels = disc(SIZE, x, 50, radius)
    box = (x - radius, 50 - radius, 2 * radius + 1, 2 * radius + 1)
    return LabelledMask(encode_rle(pixels), int(pixels.sum()), box, score, stability, [], (0, 0, 200, 100), category)


def test_each_rejection_has_one_reason() -> None:
    limits = Limits(
        pred_iou_thresh=0.5,
        stability_score_thresh=0.6,
        min_mask_area=100,
        max_mask_area=2500,
        border=2,
        mask_nms_thresh=0.8,
    )
    masks = [
        mask(100, 20),
        mask(100, 20, score=0.4, stability=0.1),  # Counted under the first reason only.
        mask(100, 20, stability=0.5),
        mask(100, 3),
        mask(100, 40),
        mask(22, 21),  # One pixel from the edge.
        mask(23, 21),
        mask(100, 21, score=0.95),  # A better one of the first.
        mask(100, 20, category="b"),  # Of another category: no duplicate.
    ]
    kept, rejected = validate(masks, limits, SIZE)
    assert kept == [masks[6], masks[7], masks[8]]
    assert rejected == {"predicted_iou": 1, "stability": 1, "area": 2, "border": 1, "duplicate": 1}


def test_without_limits_all_pass() -> None:
    masks = [mask(100, 20), mask(100, 20), mask(20, 20)]
    assert validate(masks, Limits(mask_nms_thresh=1), SIZE) == (masks, {})


@pytest.mark.parametrize("wrong", [{"border": -1}, {"mask_nms_thresh": 2}, {"min_mask_area": 9, "max_mask_area": 8}])
def test_impossible_limits_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        Limits(**wrong)


@pytest.fixture(scope="module")
def annotator(predictor: Predictor) -> Annotator:
    """One that asks what tasks say."""
    job = Job("mobile-sam", RunOptions(runtime=predictor.runtime, precision=predictor.precision), View(), Limits())
    return Annotator(job)


def ask(annotator: Annotator, *prompts: GivenPrompt, path: Path = PHOTOGRAPHS / "coffee.png") -> Record:
    return annotator.annotate(Task("key", Item("name", str(path)), prompts))


@pytest.mark.thorough
def test_masks_are_those_of_the_predictor(annotator: Annotator, predictor: Predictor, coffee: np.ndarray) -> None:
    import edge_sam

    embedding = predictor.encode(coffee)
    box, click = GivenPrompt(box=(76, 18, 478, 390), category="cup"), GivenPrompt(points=((300, 120),))
    record = ask(annotator, box, click)
    assert (record.name, record.width, record.height, record.prompts) == ("name", 600, 400, 2)
    prompts = [edge_sam.Prompt(box=box.box), edge_sam.Prompt(points=click.points)]
    cup, clicked = predictor.predict(embedding, prompts, multimask=False)
    assert [m.segmentation for m in record.masks] == [cup.to_rle()[0], clicked.to_rle()[0]]
    assert [m.category for m in record.masks] == ["cup", "object"]
    np.testing.assert_allclose([m.predicted_iou for m in record.masks], [cup.scores[0], clicked.scores[0]], atol=1e-4)
    x, y, width, height = record.masks[0].bbox
    assert [x, y, x + width, y + height] == cup.boxes[0].tolist()
    full = embedding.geometry.upsample(cup.logits[0])
    assert record.masks[0].stability_score == pytest.approx((full > 1).sum() / (full > -1).sum(), abs=1e-4)


def test_prompts_that_do_not_fit_are_counted(annotator: Annotator) -> None:
    wrong = (
        GivenPrompt(box=(5, 5, 5, 9)),
        GivenPrompt(box=(600, 0, 700, 50)),
        GivenPrompt(points=((700, 5),)),
        GivenPrompt(points=((1, 1),), labels=(2,)),
    )
    record = ask(annotator, *wrong, GivenPrompt(box=(76, 18, 478, 390)))
    assert (record.prompts, len(record.masks), record.rejected) == (1, 1, {"prompt": 4})


def test_a_damaged_file_is_a_record_and_an_absent_one_an_error(annotator: Annotator, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"nothing")
    assert "not an image" in (ask(annotator, path=tmp_path / "x.png").skipped or "")
    with pytest.raises(FileNotFoundError):
        ask(annotator, path=tmp_path / "y.png")
