"""SAM 2's bundles: a small model with seeded random weights, and the real one where it has been exported."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from conftest import _CACHE, iou
from test_guard import with_a_spoilt_encoder

import edge_sam
from edge_sam import ImageEmbedding, InputError, Predictor, Prompt, compat
from edge_sam.annotate.embeddings import encode_all
from edge_sam.bundles.bundle import Bundle
from edge_sam.errors import RuntimeUnavailableError
from edge_sam.evaluation.variant import BundleSegmenter
from edge_sam.export.sam2 import SAM2
from edge_sam.imaging.view import View
from edge_sam.inference.shape_ranges import profiles
from edge_sam.result import Answer, to_result
from edge_sam.tracking import Tracker

CUP = (76, 18, 478, 390)
PROMPTS = [Prompt(points=[(20, 30)]), Prompt(box=(10, 10, 70, 40)), Prompt(points=[(5, 5), (60, 40)], labels=[1, 0])]


@pytest.fixture(scope="module")
def bundle(small_sam2: Bundle) -> Bundle:
    return small_sam2


@pytest.fixture(scope="module")
def small(bundle: Bundle) -> Predictor:
    return edge_sam.load(bundle.path, runtime="onnxruntime", threads=1)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (50, 80, 3), np.uint8)


def test_the_manifest_states_the_contract(bundle: Bundle) -> None:
    assert bundle.manifest.schema == 2
    assert bundle.contract == SAM2.contract
    assert bundle.manifest.family == "sam2"


def test_engines_cover_what_the_predictor_sends() -> None:
    for role, inputs in SAM2.contract.inputs.items():
        ranges = profiles(SAM2.contract)[role]
        assert {name for name, shape in inputs.items() if any(isinstance(size, str) for size in shape)} == {*ranges}
        for name, choices in ranges.items():
            for shape in choices:
                assert len(shape) == len(inputs[name])
                assert all(a == b for a, b in zip(shape, inputs[name], strict=True) if isinstance(b, int))
            assert all(a <= b <= c for a, b, c in zip(*choices, strict=True))
    largest = {name: shapes[-1] for name, shapes in profiles(SAM2.contract)["decoder"].items()}
    assert largest["high_res_0"] == (1, 256, 256, 32)
    assert profiles(SAM2.contract)["decoder"]["high_res_1"][0] == (1, 4, 4, 64)


@pytest.mark.parametrize(("square", "grid"), [(None, (32, 32)), (False, (24, 32)), (True, (32, 32))])
def test_prompts_together_equal_one_by_one(
    small: Predictor, picture: np.ndarray, square: bool | None, grid: tuple[int, int]
) -> None:
    embedding = small.encode(picture, long_side=128, square=square)
    first = small.predict(embedding, PROMPTS)
    assert first[0].logits.shape == (3, *grid)
    assert first[0].masks.shape == (3, 50, 80)
    assert any(0 < result.masks.mean() < 1 for result in first)
    several = [*PROMPTS, *(Prompt(mask=result.logits[0], points=[(20, 30)]) for result in first)]
    for prompt, answer in zip(several, small.answers(embedding, several, 6), strict=True):
        (alone,) = small.answers(embedding, [prompt])
        np.testing.assert_allclose(answer.logits, alone.logits, atol=1e-3)
        np.testing.assert_allclose(answer.scores, alone.scores, atol=1e-4)
    assert BundleSegmenter(small, square=square).facts.square == (square is not False)


def test_a_square_is_stretched_and_a_point_keeps_its_place(small: Predictor, picture: np.ndarray) -> None:
    """In a square picture both shapes are the same input."""
    stretched = np.asarray(picture[:, :50])
    own, square = (small.encode(stretched, long_side=64, square=square) for square in (False, True))
    np.testing.assert_array_equal(own.features, square.features)
    wide, high = (small.encode(picture, long_side=64, square=True), small.encode(picture, long_side=64, square=False))
    assert (wide.geometry.input_size, high.geometry.input_size) == ((64, 64), (32, 64))
    np.testing.assert_allclose(wide.geometry.to_frame(np.array([[80.0, 50]])), [[64, 64]])
    np.testing.assert_allclose(high.geometry.to_frame(np.array([[80.0, 50]])), [[64, 32]])


def test_an_embedding_comes_back_with_its_feature_maps(small: Predictor, picture: np.ndarray, tmp_path: Path) -> None:
    embedding = small.encode(picture, long_side=64)
    embedding.save(tmp_path / "e.npz")
    loaded = ImageEmbedding.load(tmp_path / "e.npz")
    assert loaded.geometry == embedding.geometry
    assert loaded.high_res.keys() == {"high_res_0", "high_res_1"}
    for ours, theirs in zip(small.predict(loaded, PROMPTS), small.predict(embedding, PROMPTS), strict=True):
        np.testing.assert_array_equal(ours.logits, theirs.logits)
    dataclasses.replace(embedding, high_res={}).save(tmp_path / "e.npz")
    with pytest.raises(InputError, match="feature maps are not those of this model"):
        small.predict(ImageEmbedding.load(tmp_path / "e.npz"), PROMPTS)
    np.savez(tmp_path / "f.npz", **{**np.load(tmp_path / "e.npz"), "features": embedding.features[:1]})
    with pytest.raises(InputError, match="is damaged: features are float32"):
        ImageEmbedding.load(tmp_path / "f.npz")


def test_a_mask_of_another_grid_is_refused(small: Predictor, picture: np.ndarray) -> None:
    embedding = small.encode(picture, long_side=64)
    with pytest.raises(
        InputError, match=r"mask prompt has shape \(256, 256\); this embedding takes \(16, 16\) low-res"
    ):
        small.predict(embedding, Prompt(mask=np.zeros((256, 256), np.float32)))


def test_logits_are_clipped_and_masks_are_not_changed_by_it(small: Predictor, picture: np.ndarray) -> None:
    geometry = small.encode(picture, long_side=64).geometry
    logits = np.linspace(-99, 99, 4 * 16 * 16, dtype=np.float32).reshape(4, 16, 16)
    answer = Answer(logits, np.arange(4, dtype=np.float32), "", 0)
    free, clipped = (
        to_result(answer, PROMPTS[0], geometry, None, multimask=True, prefer="auto", logit_limit=limit)
        for limit in (None, 32)
    )
    np.testing.assert_array_equal(clipped.logits, free.logits.clip(-32, 32))
    np.testing.assert_array_equal(clipped.masks, free.masks)


def test_the_reference_s_calls_take_a_stretched_image(small: Predictor, picture: np.ndarray) -> None:
    box = PROMPTS[1].box
    assert box is not None
    embedding = small.encode(picture, long_side=128, square=True)
    expected = small.predict(embedding, PROMPTS[1], multimask=False, prefer="single")
    two, one = compat.SAM2ImagePredictor(small, long_side=128), compat.SamPredictor(small, long_side=128)
    two.set_image(picture)
    one.set_image(picture)
    framed = one.transform.apply_boxes(box[None], (50, 80))
    np.testing.assert_allclose(framed, [box * np.tile((128 / 80, 128 / 50), 2)], rtol=1e-6)
    in_frame = (array[0] for array in one.predict_torch(boxes=framed, multimask_output=False))
    for answer in (
        two.predict(box=box, multimask_output=False),
        one.predict(box=box, multimask_output=False),
        in_frame,
    ):
        masks, scores, logits = answer
        assert iou(masks > 0, expected.masks) > 0.99
        np.testing.assert_allclose(scores, expected.scores, atol=1e-4)
        np.testing.assert_allclose(logits, expected.logits, atol=1e-3)


def test_npy_holds_one_feature_map(small: Predictor, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="several feature maps, which npy cannot hold"):
        encode_all([], small, tmp_path / "out", kind="npy", view=View(), stopped=lambda: False, step=lambda: None)
    assert not (tmp_path / "out").exists()


def test_a_long_side_that_is_no_multiple(small: Predictor, picture: np.ndarray) -> None:
    with pytest.raises(InputError, match="long_side is 48; for this model it must be a multiple of 32"):
        small.encode(picture, long_side=48)


def test_everything_and_tracking_follow_the_grid(small: Predictor, picture: np.ndarray) -> None:
    for square in (False, True):
        generator = edge_sam.MaskGenerator(
            small, points_per_side=3, long_side=64, square=square, pred_iou_thresh=0, stability_score_thresh=0
        )
        masks = generator.generate(picture, valid_mask=np.arange(80) > np.full((50, 1), 10))
        assert masks
        assert all(mask["segmentation"].shape == (50, 80) for mask in masks)
        assert not any(mask["segmentation"][:, :11].any() for mask in masks)
    tracker = Tracker(small, long_side=64)
    tracker.start(picture, PROMPTS)
    assert [item.mask.shape for item in tracker.step(np.ascontiguousarray(picture[:, ::-1]))] == [(50, 80)] * 3


@pytest.mark.usefixtures("own_cache")
def test_the_guard_refuses_spoilt_weights(bundle: Bundle, tmp_path: Path) -> None:
    wrong = with_a_spoilt_encoder(bundle, tmp_path / "wrong")
    with pytest.raises(RuntimeUnavailableError, match="computes wrong results"):
        edge_sam.load(wrong.path, runtime="onnxruntime", strict=True)


@pytest.mark.usefixtures("own_cache")
def test_openvino_gives_the_same(bundle: Bundle, small: Predictor, picture: np.ndarray) -> None:
    pytest.importorskip("openvino")
    other = edge_sam.load(bundle.path, runtime="openvino", threads=1, strict=True)
    ours, theirs = (
        each.predict(each.encode(picture, long_side=64), PROMPTS, multimask=True) for each in (small, other)
    )
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.logits, b.logits, atol=1e-2)


def test_the_real_weights_find_the_cup(coffee: np.ndarray) -> None:
    """Only where `edge-sam export sam2-tiny` has been run."""
    folder = _CACHE / "bundles" / "sam2-tiny"
    if not (folder / "manifest.json").is_file():
        pytest.skip("sam2-tiny is not in the cache; make it with: edge-sam export sam2-tiny")
    predictor = edge_sam.load(folder)
    for square in (False, True):
        embedding = predictor.encode(coffee, long_side=512, square=square)
        by_box = predictor.predict(embedding, Prompt(box=CUP), multimask=False)
        assert iou(by_box.masks[0], embedding.geometry.upsample(by_box.logits[0]) > 0) == 1
        assert np.abs(by_box.boxes[0] - CUP).max() < 12
        again = predictor.predict(embedding, Prompt(box=CUP, mask=by_box.logits[0]), multimask=False)
        assert iou(by_box.masks[0], again.masks[0]) > 0.9
