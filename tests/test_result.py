"""Results in other forms: boxes, RLE, polygons, pictures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco

from edge_sam import ImageEmbedding, InputError, Predictor, Prompt, Result


@pytest.fixture(scope="module")
def result(predictor: Predictor, embedding: ImageEmbedding) -> Result:
    return predictor.predict(embedding, Prompt(points=[(250, 120)]))


def result_of(*masks: np.ndarray) -> Result:
    count = len(masks)
    return Result(np.stack(masks), np.ones(count, np.float32), np.zeros((count, 256, 256), np.float32))


def test_rle_decodes_to_the_masks(result: Result) -> None:
    for rle, mask in zip(result.to_rle(), result.masks, strict=True):
        assert rle["size"] == [400, 600]
        assert isinstance(rle["counts"], str)
        assert (coco.decode(rle).astype(bool) == mask).all()


def test_polygons_fill_to_the_masks_but_for_holes(result: Result) -> None:
    for polygons, mask in zip(result.to_polygons(), result.masks, strict=True):
        filled = np.zeros(mask.shape, np.uint8)
        for polygon in polygons:
            assert polygon.shape[1:] == (2,)
            cv2.fillPoly(filled, [polygon], 1)
        assert filled[mask].all()
        holes = (filled > 0) & ~mask
        background = (~mask).astype(np.uint8)
        _, regions = cv2.connectedComponents(np.pad(background, 1, constant_values=1), connectivity=4)
        outside = regions[1:-1, 1:-1] == regions[0, 0]
        assert not (holes & outside).any()


def test_boxes_are_tight_and_half_open() -> None:
    mask = np.zeros((20, 30), bool)
    mask[3:8, 10:25] = True
    result = result_of(mask, np.zeros_like(mask), np.ones_like(mask))
    np.testing.assert_array_equal(result.boxes, [[10, 3, 25, 8], [0, 0, 0, 0], [0, 0, 30, 20]])


def test_overlay_refuses_another_image(coffee: np.ndarray) -> None:
    result = result_of(np.zeros((20, 30), bool))
    with pytest.raises(InputError, match="do not fit"):
        result.overlay(coffee)
    with pytest.raises(InputError, match="float64"):
        result.overlay(np.zeros((20, 30, 3)))  # type: ignore[arg-type]


def test_an_empty_mask_has_an_empty_rle_and_no_polygons() -> None:
    result = result_of(np.zeros((20, 30), bool))
    assert coco.area(result.to_rle()[0]) == 0
    assert result.to_polygons() == [[]]


def test_polygons_have_three_corners_or_more_and_coco_readers_take_them() -> None:
    mask = np.zeros((20, 30), bool)
    mask[2, 3] = mask[5, 6:8] = mask[8:15, 9] = mask[12:15, 20:25] = True
    mask[17, 1] = mask[18, 2] = True
    (polygons,) = result_of(mask).to_polygons()
    assert len(polygons) == 5
    assert min(map(len, polygons)) == 3
    filled = np.zeros(mask.shape, np.uint8)
    cv2.fillPoly(filled, polygons, 1)
    np.testing.assert_array_equal(filled.astype(bool), mask)
    flat = [polygon.reshape(-1).tolist() for polygon in polygons]
    for parts in (flat, flat[::-1]):  # A first part of four numbers would be taken for a box.
        read = coco.decode(coco.merge(coco.frPyObjects(parts, *mask.shape)))
        assert read.sum() == read[12:15, 20:25].sum() > 0


def test_overlay_colours_the_mask_and_nothing_else(coffee: np.ndarray) -> None:
    mask = np.zeros(coffee.shape[:2], bool)
    mask[100:300, 200:400] = True
    before = coffee.copy()
    prompt = Prompt(points=[(20, 20)], labels=[0], box=(190, 90, 410, 310))
    picture = result_of(mask).overlay(coffee, [prompt])
    assert (coffee == before).all()
    assert (picture[150:250, 250:350] != coffee[150:250, 250:350]).any(axis=2).mean() > 0.99
    assert (picture[350:, 450:] == coffee[350:, 450:]).all()
    assert (picture[20, 20] == (231, 76, 60)).all()
    assert (picture[90, 190:410] != coffee[90, 190:410]).any(axis=1).all()
