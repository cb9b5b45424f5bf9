"""Code that was written for the reference implementations runs with `edge_sam.compat`, and gives the same arrays."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from conftest import PHOTOGRAPHS, iou
from PIL import Image

from edge_sam import InputError, Predictor, Prompt, compat
from edge_sam.bundles.bundle import BUNDLED
from edge_sam.errors import EdgeSamError
from edge_sam.export.reference import install_stubs

POINT, ON = np.array([[250, 120]]), np.array([1])
POINTS, LABELS = np.array([[250, 120], [420, 330]]), np.array([1, 0])
BOX = np.array([76, 18, 478, 390])
BOXES = [[76, 18, 478, 390], [170, 15, 415, 215], [20, 200, 220, 300]]


def notebook(module: ModuleType, checkpoint: Path, image: np.ndarray) -> dict[str, tuple[Any, Any, Any]]:
    """The calls of the reference's example of its predictor. Nothing but the module differs."""
    sam = module.sam_model_registry["vit_t"](checkpoint=str(checkpoint))
    sam.to(device="cpu")
    sam.eval()
    predictor = module.SamPredictor(sam)
    predictor.set_image(image)
    found = {"point": predictor.predict(point_coords=POINT, point_labels=ON, multimask_output=True)}
    masks, scores, logits = found["point"]
    mask_input = logits[np.argmax(scores), :, :]
    found["mask and points"] = predictor.predict(
        point_coords=POINTS, point_labels=LABELS, mask_input=mask_input[None, :, :], multimask_output=False
    )
    found["box"] = predictor.predict(point_coords=None, point_labels=None, box=BOX[None, :], multimask_output=False)
    found["box and point"] = predictor.predict(
        point_coords=np.array([[300, 330]]), point_labels=np.array([0]), box=BOX, multimask_output=False
    )
    input_boxes = torch.tensor(BOXES, device=predictor.device)
    transformed_boxes = predictor.transform.apply_boxes_torch(input_boxes, image.shape[:2])
    masks, scores, logits = predictor.predict_torch(
        point_coords=None, point_labels=None, boxes=transformed_boxes, multimask_output=False
    )
    found["boxes"] = (masks.cpu().numpy(), scores.numpy(), logits.numpy())
    coords = predictor.transform.apply_coords_torch(torch.as_tensor(POINTS[:, None]), image.shape[:2])
    masks, scores, logits = predictor.predict_torch(coords, torch.as_tensor(LABELS[:, None]), return_logits=True)
    found["points one by one"] = (masks.numpy(), scores.numpy(), logits.numpy())
    sizes = np.array([predictor.original_size, predictor.input_size])
    found["sizes"] = (sizes, np.array(predictor.is_image_set), np.array(predictor.features.shape))
    predictor.reset_image()
    assert predictor.is_image_set is False
    assert predictor.features is None
    return found


@pytest.mark.thorough
def test_the_reference_s_notebook_gives_its_arrays(checkpoint: Path, coffee: np.ndarray) -> None:
    """Held to: masks' IoU 0.995 on average, scores 0.002, logits 0.5 of tens. The package's weights have 16 bits."""
    install_stubs()
    import mobile_sam

    theirs, ours = notebook(mobile_sam, checkpoint, coffee), notebook(compat, checkpoint, coffee)
    assert theirs.keys() == ours.keys()
    agreement = []
    for name, arrays in theirs.items():
        for their, our in zip(arrays, ours[name], strict=True):
            assert (their.dtype, their.shape) == (our.dtype, our.shape), name
        (their_masks, their_scores, their_logits), (masks, scores, logits) = arrays, ours[name]
        np.testing.assert_allclose(scores, their_scores, atol=0.002, err_msg=name)
        np.testing.assert_allclose(logits, their_logits, atol=0.5, err_msg=name)
        if name != "sizes":
            planes = (array.reshape(-1, 400, 600) > 0 for array in (masks, their_masks))
            agreement += [iou(*pair) for pair in zip(*planes, strict=True)]
        if masks.dtype == np.float32:
            np.testing.assert_allclose(masks, their_masks, atol=3, err_msg=name)  # It enlarges logits in two steps.
    assert len(agreement) == 15
    assert np.mean(agreement) > 0.995
    assert np.min(agreement) > 0.98


@pytest.fixture(scope="module")
def sam(predictor: Predictor, coffee: np.ndarray) -> compat.SamPredictor:
    made = compat.SamPredictor(predictor)
    made.set_image(coffee)
    return made


def test_masks_come_in_the_order_of_tokens(sam: compat.SamPredictor) -> None:
    prompt = Prompt(points=POINT)
    (answer,) = sam.model.predictor.answers(sam.embedding, [prompt])
    _, scores, logits = sam.predict(POINT, ON)
    np.testing.assert_array_equal(scores, answer.scores[1:])
    np.testing.assert_array_equal(logits, answer.logits[1:])
    assert list(scores) != sorted(scores, reverse=True)
    masks, scores, logits = sam.predict(POINT, ON, multimask_output=False)
    result = sam.model.predictor.predict(sam.embedding, prompt, multimask=False, prefer="single")
    for mine, other in ((masks, result.masks), (scores, result.scores), (logits, result.logits)):
        np.testing.assert_array_equal(mine, other)


def test_arrays_do_for_tensors(sam: compat.SamPredictor) -> None:
    boxes = sam.transform.apply_boxes(np.array(BOXES), (400, 600))
    np.testing.assert_allclose(boxes[0], BOX * 1024 / 600, rtol=1e-3)
    points = sam.transform.apply_coords(np.array(POINTS), (400, 600))
    masks, scores, logits = sam.predict_torch(boxes=boxes, multimask_output=False)
    assert [type(array) for array in (masks, scores, logits)] == [np.ndarray] * 3
    assert (masks.shape, scores.shape, logits.shape) == ((3, 1, 400, 600), (3, 1), (3, 1, 256, 256))
    alone = [sam.predict(box=np.array(box), multimask_output=False)[0] for box in BOXES]
    assert iou(masks, np.stack(alone)) > 0.999
    again = sam.predict_torch(points[None], LABELS[None], mask_input=logits[:1])[2]
    assert np.abs(again[0] - sam.predict(POINTS, LABELS, mask_input=logits[0])[2]).max() < 0.01
    tensors = sam.predict_torch(boxes=torch.from_numpy(boxes), multimask_output=False)
    assert all(isinstance(tensor, torch.Tensor) for tensor in tensors)
    np.testing.assert_array_equal(tensors[0].numpy(), masks)


def test_bgr_is_turned(sam: compat.SamPredictor, coffee: np.ndarray) -> None:
    small = compat.SamPredictor(sam.model, long_side=256, square=False)
    small.set_image(coffee)
    right = small.get_image_embedding()
    small.set_image(coffee[..., ::-1], image_format="BGR")
    np.testing.assert_array_equal(small.get_image_embedding(), right)
    small.set_image(coffee[..., ::-1])
    assert np.abs(small.get_image_embedding() - right).max() > 0.1


def test_embeddings_go_on_elsewhere(sam: compat.SamPredictor, coffee: np.ndarray) -> None:
    np.testing.assert_array_equal(sam.get_image_embedding()[0].transpose(1, 2, 0), sam.embedding.features)
    assert sam.embedding.geometry.square
    fast = compat.SamPredictor(sam.model, square=False, long_side=512)
    fast.set_image(coffee)
    assert (fast.embedding.geometry.square, fast.embedding.geometry.long_side) == (False, 512)
    assert fast.input_size == (341, 512)
    assert iou(fast.predict(box=BOX)[0][2], sam.predict(box=BOX)[0][2]) > 0.9
    boxes = fast.transform.apply_boxes(np.array(BOXES), fast.original_size)
    assert boxes[0, 3] < 341
    assert iou(fast.predict_torch(boxes=boxes)[0][0], fast.predict(box=BOX)[0]) > 0.999


def test_without_an_image_there_is_an_error_that_callers_of_the_reference_catch(predictor: Predictor) -> None:
    for kind in (compat.SamPredictor, compat.SAM2ImagePredictor):
        made = kind(predictor)
        for call in (lambda made=made: made.predict(POINT, ON), made.get_image_embedding):
            with pytest.raises(RuntimeError, match="call set_image") as raised:
                call()
            assert isinstance(raised.value, EdgeSamError)
    sam = compat.SamPredictor(predictor)
    for use in (lambda: sam.predict_torch(boxes=np.zeros((1, 4))), lambda: sam.original_size, lambda: sam.input_size):
        with pytest.raises(compat.ImageNotSetError):
            use()


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ({}, "the prompt is empty"),
        ({"point_coords": POINT}, "without point_labels"),
        ({"point_coords": POINT, "point_labels": LABELS}, "labels have shape"),
        ({"point_coords": POINT[0], "point_labels": ON}, "points have shape"),
        ({"point_coords": POINT + 500, "point_labels": ON}, "outside the 600×400 image"),
        ({"box": np.array(BOXES)}, r"box has shape \(3, 4\)"),
        ({"mask_input": np.zeros((3, 256, 256), np.float32)}, "mask prompt has shape"),
    ],
)
def test_prompts_that_cannot_be_are_refused(sam: compat.SamPredictor, prompt: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        sam.predict(**prompt)


def test_what_else_cannot_be_is_refused(sam: compat.SamPredictor, coffee: np.ndarray) -> None:
    for refused, message in (
        (lambda: sam.set_image(coffee, "RGBA"), "image_format is 'RGBA'"),  # type: ignore[arg-type]
        (lambda: compat.SamPredictor("mobile-sam"), "expected a model from edge_sam.load"),  # type: ignore[arg-type]
        (lambda: sam.predict_torch(boxes=np.ones((2, 4)), mask_input=np.ones((1, 1, 256, 256))), "prompts differ"),
        (lambda: sam.predict_torch(boxes=np.ones((2, 5))), r"boxes have shape \(2, 5\); expected 4 numbers"),
        (lambda: sam.predict_torch(boxes=np.ones((0, 4))), "there are no prompts"),
        (lambda: compat.SamPredictor(sam.model, long_side=1000), "multiple of 16"),
    ):
        with pytest.raises(InputError, match=message):
            refused()


def test_labels_alone_mean_nothing_as_in_the_reference(sam: compat.SamPredictor) -> None:
    both = (sam.predict(point_labels=ON, box=BOX), sam.predict(box=BOX))
    np.testing.assert_array_equal(both[0][0], both[1][0])


def test_the_registry_knows_the_official_checkpoint_and_bundles(checkpoint: Path, tmp_path: Path) -> None:
    build = compat.sam_model_registry["vit_t"]
    official = build(checkpoint=checkpoint).predictor.facts
    assert official == build(checkpoint=str(BUNDLED / "mobile-sam")).predictor.facts == build().predictor.facts
    (tmp_path / "mobile_sam.pt").write_bytes(b"others")
    with pytest.raises(InputError, match="official weights; make a bundle of it with edge-sam export"):
        build(checkpoint=tmp_path / "mobile_sam.pt")
    with pytest.raises(InputError, match=r"no model called 'absent\.pt'"):
        build(checkpoint="absent.pt")
    with pytest.raises(InputError, match="no model of the type 'vit_h'; it has vit_t"):
        compat.sam_model_registry["vit_h"]
    assert "vit_h" not in compat.sam_model_registry


def test_a_device_that_is_not_used_is_said(predictor: Predictor) -> None:
    sam = compat.Sam(predictor)
    with pytest.warns(UserWarning, match="stays on CPUExecutionProvider"):
        assert sam.to(device="cuda:0") is sam
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sam.to("cpu").to(torch.device("cpu")).eval() is sam


SETTINGS: dict[str, Any] = {
    "points_per_side": 9,
    "points_per_batch": 64,
    "pred_iou_thresh": 0.8,
    "stability_score_thresh": 0.9,
    "stability_score_offset": 0.5,
    "box_nms_thresh": 0.6,
    "crop_n_layers": 1,
    "crop_nms_thresh": 0.5,
    "crop_overlap_ratio": 0.25,
    "crop_n_points_downscale_factor": 2,
    "point_grids": None,
    "min_mask_region_area": 50,
    "output_mode": "coco_rle",
}
"""All parameters of the reference, in its order."""


def test_the_generator_takes_the_reference_s_parameters(predictor: Predictor) -> None:
    install_stubs()
    import mobile_sam

    parameters = inspect.signature(mobile_sam.SamAutomaticMaskGenerator).parameters
    assert list(parameters) == ["model", *SETTINGS]
    ours = inspect.signature(compat.SamAutomaticMaskGenerator).parameters
    assert [(name, ours[name].default) for name in SETTINGS] == [(name, parameters[name].default) for name in SETTINGS]
    for made in (
        compat.SamAutomaticMaskGenerator(predictor, **SETTINGS),
        compat.SamAutomaticMaskGenerator(predictor, *SETTINGS.values(), adaptive=False),
    ):
        taken = {name: getattr(made.generator, name) for name in SETTINGS}
        assert taken == SETTINGS | {"points_per_batch": 1}  # On a CPU a batch costs memory and gains nothing.
        assert made.generator.square
    with pytest.raises(InputError, match="output_mode"):
        compat.SamAutomaticMaskGenerator(predictor, output_mode="png")
    with pytest.raises(InputError, match="set the other to None"):
        compat.SamAutomaticMaskGenerator(predictor, point_grids=[np.zeros((1, 2))])


def test_the_generator_s_records_are_the_reference_s(sam: compat.SamPredictor, coffee: np.ndarray) -> None:
    grid = [np.array([[0.42, 0.3]])]
    records = compat.SamAutomaticMaskGenerator(sam, points_per_side=None, point_grids=grid).generate(coffee)
    keys = {"segmentation", "area", "bbox", "predicted_iou", "point_coords", "stability_score", "crop_box"}
    assert records
    for record in records:
        assert record.keys() == keys
        assert record["segmentation"].dtype == np.bool_
        assert record["segmentation"].shape == (400, 600)
        assert np.count_nonzero(record["segmentation"]) == record["area"]
        assert record["point_coords"] == [[252, 120]]
        assert record["crop_box"] == [0, 0, 600, 400]


def test_sam_2_s_predictor_takes_one_prompt_or_several(predictor: Predictor, coffee: np.ndarray) -> None:
    sam = compat.SamPredictor(predictor, long_side=512, square=False)
    two = compat.SAM2ImagePredictor(sam.model, long_side=512, square=False)
    sam.set_image(coffee)
    two.set_image(Image.open(PHOTOGRAPHS / "coffee.png"))
    np.testing.assert_array_equal(two.get_image_embedding(), sam.get_image_embedding())
    masks, scores, logits = two.predict(POINT, ON)
    theirs = sam.predict(POINT, ON)
    assert masks.dtype == scores.dtype == logits.dtype == np.float32
    np.testing.assert_array_equal(masks > 0, theirs[0])
    np.testing.assert_array_equal(scores, theirs[1])
    np.testing.assert_array_equal(logits, theirs[2])
    np.testing.assert_array_equal(two.predict(POINT / (600, 400), ON, normalize_coords=False)[0], masks)
    np.testing.assert_array_equal(two.predict(POINT, ON, return_logits=True)[0] > 0, theirs[0])
    one = two.predict(box=BOX, mask_input=logits[:1], multimask_output=False)
    assert [array.shape for array in one] == [(1, 400, 600), (1,), (1, 256, 256)]
    several = two.predict(point_coords=POINTS[:, None], point_labels=LABELS[:, None] | 1, box=BOXES[:2])
    assert [array.shape for array in several] == [(2, 3, 400, 600), (2, 3), (2, 3, 256, 256)]
    fractions = np.array(BOXES[:2]) / (600, 400, 600, 400)
    assert iou(two.predict(box=fractions, normalize_coords=False)[0] > 0, two.predict(box=BOXES[:2])[0] > 0) > 0.999
    two.reset_predictor()
    with pytest.raises(compat.ImageNotSetError):
        two.predict(POINT, ON)
