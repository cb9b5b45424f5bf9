"""Masks in `supervision`: a result as detections, and everything mode's records through its own reader."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from edge_sam import ImageEmbedding, MaskGenerator, Predictor, Prompt, Result
from edge_sam.errors import MissingExtraError
from edge_sam.imaging.masks import decode_rle

sv = pytest.importorskip("supervision")


@pytest.fixture(scope="module")
def result(predictor: Predictor, embedding: ImageEmbedding) -> Result:
    return predictor.predict(embedding, Prompt(points=[(250, 120)]))


def test_a_result_becomes_detections(result: Result, coffee: np.ndarray) -> None:
    found = result.to_detections()
    assert len(found) == 3
    np.testing.assert_array_equal(found.mask, result.masks)
    np.testing.assert_array_equal(found.xyxy, result.boxes)
    np.testing.assert_array_equal(found.confidence, result.scores)
    np.testing.assert_allclose(sv.mask_to_xyxy(found.mask), found.xyxy, atol=1)
    picture = sv.MaskAnnotator(color_lookup=sv.ColorLookup.INDEX).annotate(coffee.copy(), found)
    assert (picture != coffee).any(axis=2)[result.masks.any(axis=0)].mean() > 0.99
    x0, y0, x1, y1 = result.boxes[0].astype(int)
    crop = sv.crop_image(coffee, found.xyxy[0])
    np.testing.assert_array_equal(crop, coffee[y0:y1, x0:x1])


def test_an_empty_mask_keeps_its_place() -> None:
    masks = np.zeros((2, 20, 30), np.bool_)
    masks[1, 3:8, 10:25] = True
    found = Result(masks, np.ones(2, np.float32), np.zeros((2, 256, 256), np.float32)).to_detections()
    np.testing.assert_array_equal(found.xyxy, [[0, 0, 0, 0], [10, 3, 25, 8]])
    np.testing.assert_array_equal(found.area, [0, 75])


@pytest.mark.parametrize("mode", ["binary_mask", "coco_rle", "uncompressed_rle"])
def test_records_of_everything_mode_become_detections(predictor: Predictor, coffee: np.ndarray, mode: str) -> None:
    grid = [np.array([[0.42, 0.3], [0.2, 0.6]])]
    generator = MaskGenerator(
        predictor, points_per_side=None, point_grids=grid, output_mode=mode, square=False, long_side=512
    )
    records = generator.generate(coffee)
    found = sv.Detections.from_sam(records)
    largest = sorted(records, key=lambda record: -record["area"])  # It sorts them so.
    assert len(found) == len(records) > 1
    for record, mask, box in zip(largest, found.mask, found.xyxy, strict=True):
        segmentation = record["segmentation"]
        np.testing.assert_array_equal(mask, segmentation if mode == "binary_mask" else decode_rle(segmentation))
        x, y, width, height = record["bbox"]
        np.testing.assert_array_equal(box, (x, y, x + width, y + height))


def test_without_the_package_the_error_says_what_to_install(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(MissingExtraError, match=r'pip install "edge-sam\[supervision\]"'):
        result.to_detections()
