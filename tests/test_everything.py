"""Everything mode, with the real model on a small grid."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import PHOTOGRAPHS, iou, read_rgb
from pycocotools import mask as coco

import edge_sam
from edge_sam.everything import Found
from edge_sam.everything.candidates import CandidateFilter
from edge_sam.everything.pictures import draw_labels
from edge_sam.everything.point_queue import PointQueue
from edge_sam.everything.points import Crop, cut, point_grid
from edge_sam.everything.regions import remove_small_regions
from edge_sam.everything.suppression import suppress, suppress_by_overlap
from edge_sam.imaging.masks import label_map

KEYS = {"segmentation", "area", "bbox", "predicted_iou", "point_coords", "stability_score", "crop_box"}


def generator(predictor: edge_sam.Predictor, **options: Any) -> edge_sam.MaskGenerator:
    return edge_sam.MaskGenerator(predictor, **{"points_per_side": 8, "square": False, "long_side": 512, **options})


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return read_rgb(PHOTOGRAPHS / "astronaut.png")


@pytest.fixture(scope="module")
def masks(predictor: edge_sam.Predictor, astronaut: np.ndarray) -> list[dict[str, Any]]:
    return generator(predictor, adaptive=False).generate(astronaut)


def test_records_say_what_the_masks_are(masks: list[dict[str, Any]]) -> None:
    assert len(masks) > 10
    assert all(set(mask) == KEYS for mask in masks)
    for mask in masks:
        pixels = mask["segmentation"]
        assert pixels.dtype == np.bool_
        assert pixels.shape == (512, 512)
        assert mask["area"] == np.count_nonzero(pixels)
        assert mask["bbox"] == list(cv2.boundingRect(pixels.view(np.uint8)))
        assert mask["crop_box"] == [0, 0, 512, 512]
        assert mask["predicted_iou"] > 0.88
        assert mask["stability_score"] >= 0.95
    scores = [mask["predicted_iou"] for mask in masks]
    assert scores == sorted(scores, reverse=True)


def test_a_mask_is_what_a_click_gives(
    predictor: edge_sam.Predictor, astronaut: np.ndarray, masks: list[dict[str, Any]]
) -> None:
    embedding = predictor.encode(astronaut, long_side=512)
    for mask in masks[:5]:
        click = predictor.predict(embedding, edge_sam.Prompt(points=mask["point_coords"]))
        best = int(np.abs(click.scores - mask["predicted_iou"]).argmin())
        assert iou(click.masks[best], mask["segmentation"]) > 0.999


def test_boxes_overlap_no_more_than_asked(masks: list[dict[str, Any]]) -> None:
    boxes = [mask["bbox"] for mask in masks]
    overlaps = coco.iou(np.array(boxes, float), np.array(boxes, float), [0] * len(boxes))
    assert overlaps[~np.eye(len(boxes), dtype=bool)].max() < 0.72  # Boxes of masks are measured once more at the end.


@pytest.mark.thorough
def test_adaptive_asks_less_and_finds_nearly_the_same(predictor: edge_sam.Predictor, astronaut: np.ndarray) -> None:
    found: dict[bool, list[dict[str, Any]]] = {}
    asked: dict[bool, Found] = {}
    for adaptive in (True, False):
        steps: list[Found] = []
        maker = generator(predictor, adaptive=adaptive, points_per_side=12, output_mode="coco_rle")
        found[adaptive] = maker.generate(astronaut, progress=steps.append)
        asked[adaptive] = steps[-1]
    assert asked[False].asked == asked[False].points == 144
    assert asked[True].asked < 0.75 * 144
    every, quick = ([mask["segmentation"] for mask in found[adaptive]] for adaptive in (False, True))
    assert (coco.iou(quick, every, [0] * len(every)).max(axis=0) >= 0.9).mean() >= 0.85


@pytest.mark.thorough
def test_stream_ends_with_what_generate_returns(predictor: edge_sam.Predictor, astronaut: np.ndarray) -> None:
    crops = {"crop_n_layers": 1, "crop_n_points_downscale_factor": 2}
    maker = generator(predictor, output_mode="coco_rle", min_mask_region_area=200, points_per_side=4, **crops)
    present: dict[int, dict[str, Any]] = {}
    early = 0
    for found, update in maker.stream(astronaut):
        for number in update.removed:
            del present[number]
        assert not set(present) & set(update.added)
        present |= update.added
        early += bool(update.added) and found.asked < found.points / 2
    assert early
    assert sorted(map(str, present.values())) == sorted(map(str, maker.generate(astronaut)))


def test_output_modes_hold_the_same_masks(predictor: edge_sam.Predictor, astronaut: np.ndarray) -> None:
    arrays, compressed, plain = (
        generator(predictor, points_per_side=4, output_mode=mode).generate(astronaut)
        for mode in ("binary_mask", "coco_rle", "uncompressed_rle")
    )
    assert len(arrays) > 3
    for array, small, runs in zip(arrays, compressed, plain, strict=True):
        assert (coco.decode(small["segmentation"]) == array["segmentation"]).all()
        height, width = runs["segmentation"]["size"]
        again = coco.decode(coco.frPyObjects(runs["segmentation"], height, width))
        assert (again == array["segmentation"]).all()


def test_nothing_outside_the_region(predictor: edge_sam.Predictor, astronaut: np.ndarray) -> None:
    region = np.zeros((512, 512), dtype=np.uint8)
    region[100:300, 60:400] = 255
    steps: list[Found] = []
    found = generator(predictor, adaptive=False).generate(astronaut, valid_mask=region, progress=steps.append)
    assert found
    for mask in found:
        assert not mask["segmentation"][region == 0].any()
        (x, y) = mask["point_coords"][0]
        assert region[int(y), int(x)]
    assert steps[-1].points < 64
    assert generator(predictor).generate(astronaut, valid_mask=np.zeros((512, 512), bool)) == []


def test_the_clean_up_fills_no_hole_of_the_region(predictor: edge_sam.Predictor, astronaut: np.ndarray) -> None:
    region = np.ones((512, 512), dtype=bool)
    for row, column in np.ndindex(16, 16):
        region[row * 32 + 15 : row * 32 + 18, column * 32 + 15 : column * 32 + 18] = False
    found = generator(predictor, points_per_side=6, min_mask_region_area=50).generate(astronaut, valid_mask=region)
    assert len(found) > 3
    assert not any((mask["segmentation"] & ~region).any() for mask in found)


def test_crops_find_what_is_small(predictor: edge_sam.Predictor, astronaut: np.ndarray) -> None:
    found = generator(predictor, points_per_side=6, crop_n_layers=1, crop_n_points_downscale_factor=2).generate(
        astronaut
    )
    boxes = {tuple(mask["crop_box"]) for mask in found}
    assert len(boxes) > 1
    for mask in found:
        x, y, width, height = mask["crop_box"]
        outside = np.ones((512, 512), bool)
        outside[y : y + height, x : x + width] = False
        assert not (mask["segmentation"] & outside).any()


def test_a_large_photograph_gives_masks_of_its_size(predictor: edge_sam.Predictor, astronaut: np.ndarray) -> None:
    large = cv2.resize(astronaut, (2000, 2000), interpolation=cv2.INTER_CUBIC)
    small = generator(predictor, points_per_side=4).generate(astronaut)
    found = generator(predictor, points_per_side=4).generate(np.asarray(large, dtype=np.uint8))
    assert found[0]["segmentation"].shape == (2000, 2000)
    reduced = [cv2.resize(m["segmentation"].view(np.uint8), (512, 512)) > 0 for m in found]
    assert np.mean([max(iou(mask["segmentation"], other) for other in reduced) > 0.85 for mask in small]) > 0.7


def test_small_masks_and_regions_go(predictor: edge_sam.Predictor, astronaut: np.ndarray) -> None:
    found = generator(predictor, points_per_side=6, min_mask_area=2000, min_mask_region_area=400).generate(astronaut)
    assert found
    for mask in found:
        assert mask["area"] >= 2000
        assert not remove_small_regions(mask["segmentation"], 400)[1]


def test_holes_and_islands() -> None:
    mask = np.zeros((40, 40), dtype=bool)
    mask[5:25, 5:25] = True
    mask[10:12, 10:12] = False  # a hole of 4
    mask[30:33, 30:33] = True  # an island of 9
    cleaned, changed = remove_small_regions(mask, 5)
    assert changed
    assert np.count_nonzero(cleaned) == 409
    assert np.count_nonzero(remove_small_regions(mask, 10)[0]) == 400
    assert np.count_nonzero(remove_small_regions(mask, 5000)[0]) == 1600  # the background is a small hole too
    assert not remove_small_regions(cleaned, 5)[1]


def test_suppression_keeps_the_best() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 5], [20, 20, 30, 30]], dtype=float)
    assert suppress(boxes, np.array([0.8, 0.9, 0.7, 0.6]), 0.7) == [1, 2, 3]
    assert suppress(boxes, np.array([0.9, 0.9, 0.7, 0.6]), 0.4) == [0, 3]
    assert suppress(np.zeros((0, 4)), np.zeros(0), 0.7) == []
    assert suppress_by_overlap(np.array([[1, 0.9, 0.1], [0.9, 1, 0.1], [0.1, 0.1, 1]]), 0.8) == [0, 2]


def test_crops_cover_the_photograph_and_overlap() -> None:
    crops = cut((480, 854), 2, 512 / 1500)
    assert crops[0] == Crop((0, 0, 854, 480), 0)
    assert [crop.layer for crop in crops].count(1) == 4
    assert [crop.layer for crop in crops].count(2) == 16
    for layer in (1, 2):
        covered = np.zeros((480, 854), int)
        for x0, y0, x1, y1 in (crop.box for crop in crops if crop.layer == layer):
            covered[y0:y1, x0:x1] += 1
        assert covered.min() == 1
        assert covered.max() == 4


def test_no_crop_begins_beyond_a_small_photograph() -> None:
    crops = cut((100, 30), 4, 0.0)
    assert all(x0 < x1 <= 30 and y0 < y1 <= 100 for x0, y0, x1, y1 in (crop.box for crop in crops))
    assert {y for crop in crops if crop.layer == 4 for y in range(crop.box[1], crop.box[3])} == set(range(100))


def test_crops_are_those_of_the_reference() -> None:
    pytest.importorskip("torch")
    from edge_sam.export.reference import install_stubs

    install_stubs()
    from mobile_sam.utils.amg import build_all_layer_point_grids, generate_crop_boxes

    for size in ((480, 854), (321, 481), (1000, 999)):
        boxes, layers = generate_crop_boxes(size, 3, 512 / 1500)
        assert [Crop(tuple(box), layer) for box, layer in zip(boxes, layers, strict=True)] == cut(size, 3, 512 / 1500)
    np.testing.assert_allclose(build_all_layer_point_grids(32, 0, 1)[0], point_grid(32))


def test_point_queue_spreads_and_asks_each_once(embedding: edge_sam.ImageEmbedding) -> None:
    points = point_grid(8) * (600, 400)
    queue = PointQueue(points, embedding, adaptive=False)
    first = queue.points[queue.next(4)]
    assert len({(x > 300, y > 200) for x, y in first}) == 4
    rest = [queue.points[i] for i in queue.next(100)]
    assert len(queue.next(1)) == 0
    assert {tuple(p) for p in [*first, *rest]} == {tuple(p) for p in points}


def test_point_queue_takes_a_point_at_the_very_edge(predictor: edge_sam.Predictor) -> None:
    wide = predictor.encode(np.zeros((64, 1024, 3), np.uint8), long_side=1024)
    queue = PointQueue(np.array([[(1 - 1e-9) * 1024, 32.0]]), wide, adaptive=True)
    assert queue.next(1).tolist() == [0]


def test_point_queue_leaves_out_what_is_explained(embedding: edge_sam.ImageEmbedding) -> None:
    points = point_grid(8) * (600, 400)
    left = {}
    for what, adaptive, logits in (
        ("inside a mask", True, [np.ones((256, 256), np.float32)]),
        ("no mask", True, []),
        ("exhaustive", False, [np.ones((256, 256), np.float32)]),
    ):
        queue = PointQueue(points, embedding, adaptive=adaptive)
        for index in queue.next(8):
            queue.answered(int(index), logits)
        left[what] = len(queue.next(100))
    assert 0 < left["inside a mask"] < left["no mask"] < left["exhaustive"] == 56


def test_candidate_filter_measures_stability(embedding: edge_sam.ImageEmbedding, predictor: edge_sam.Predictor) -> None:
    settings = generator(predictor)
    candidate_filter = CandidateFilter(
        settings, embedding.geometry, Crop((0, 0, 600, 400), 0), (400, 600), None, Counter()
    )
    steep = np.full((256, 256), -20, np.float32)
    steep[20:80, 20:80] = 20
    flat = np.clip(steep, -0.5, 0.5)
    planes = np.stack([steep, flat])
    accepted = list(candidate_filter.accept(planes, np.array([0.9, 0.9], np.float32), np.array([100.0, 100.0])))
    ((candidate, _),) = accepted
    assert candidate is not None
    assert candidate.stability_score > 0.95
    # A cell is 600·4/1024 = 2.34 pixels, and the edge lies in the middle between two cells.
    np.testing.assert_allclose(candidate.box, np.array([20, 20, 80, 80]) * 2.34375, atol=1.5)
    near = embedding.geometry.upsample(steep) > 0
    assert (near == candidate.mask()).all()


def test_pictures(astronaut: np.ndarray) -> None:
    large, small = np.zeros((2, 512, 512), dtype=bool)
    large[50:400, 50:400], small[100:150, 100:150] = True, True
    labels = label_map([small, large], (512, 512))
    assert labels.dtype == np.uint16
    assert (labels[120, 120], labels[60, 60], labels[0, 0]) == (1, 2, 0)
    drawn = draw_labels(astronaut, labels)
    assert (drawn[450:] == astronaut[450:]).all()
    assert (drawn[200:380, 200:380] != astronaut[200:380, 200:380]).any(axis=2).mean() > 0.9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points_per_side": 0}, "points_per_side is 0"),
        ({"points_per_side": None}, "either points_per_side or point_grids"),
        ({"point_grids": [[[0.5, 0.5]]]}, "either points_per_side or point_grids"),
        ({"points_per_side": None, "point_grids": [[[0.5, 1.5]]]}, "fractions"),
        ({"points_per_side": None, "point_grids": [[[0.5, 0.5]]], "crop_n_layers": 1}, "1 point_grids for 2 layers"),
        ({"box_nms_thresh": 1.2}, "box_nms_thresh is 1.2; it must be 0 to 1"),
        ({"pred_iou_thresh": float("nan")}, "pred_iou_thresh is nan"),
        ({"min_mask_region_area": -1}, "at least 0"),
        ({"output_mode": "png"}, "output_mode 'png'"),
    ],
)
def test_impossible_parameters(predictor: edge_sam.Predictor, options: dict[str, Any], message: str) -> None:
    with pytest.raises(edge_sam.InputError, match=message):
        generator(predictor, **options)


def test_points_of_ones_own(predictor: edge_sam.Predictor, coffee: np.ndarray) -> None:
    cup = generator(predictor, points_per_side=None, point_grids=[[[0.5, 0.3]]]).generate(coffee)
    assert cup
    assert all(mask["point_coords"] == [[300.0, 120.0]] for mask in cup)


def test_a_file_can_be_given(predictor: edge_sam.Predictor, tmp_path: Path) -> None:
    assert generator(predictor, points_per_side=2).generate(PHOTOGRAPHS / "coffee.png")
    with pytest.raises(edge_sam.InputError, match="cannot read image"):
        generator(predictor).generate(tmp_path / "absent.jpg")
