"""The predictor on a real photograph with the model of the package."""

from __future__ import annotations

import copy
import itertools
import multiprocessing
import pickle
import warnings
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PHOTOGRAPHS, iou

import edge_sam
from edge_sam import ImageEmbedding, InputError, Predictor, Prompt, Result
from edge_sam.errors import RuntimeFallbackWarning
from edge_sam.inference.decoder_parts import TwoPartDecoder
from edge_sam.inference.model import Model
from edge_sam.inference.shape_ranges import MAX_POINTS
from edge_sam.inference.token_list import token_list
from edge_sam.runtimes import Session, Tensors

CUP = (76, 18, 478, 390)


def prompts_of_every_kind(logits: np.ndarray) -> list[Prompt]:
    """Every mix of points, box and mask that is a prompt."""
    none: dict[str, Any] = {}
    points = (none, {"points": [(250, 120)]}, {"points": [(250, 120), (420, 330), (20, 20)], "labels": [1, 1, 0]})
    boxes, masks = (none, {"box": CUP}), (none, {"mask": logits})
    mixes = [{**p, **b, **m} for p, b, m in itertools.product(points, boxes, masks)]
    return [Prompt(**mix) for mix in mixes if mix]


def test_a_box_finds_the_cup(predictor: Predictor, embedding: ImageEmbedding) -> None:
    result = predictor.predict(embedding, Prompt(box=CUP), multimask=False)
    assert result.masks.shape == (1, 400, 600)
    assert result.masks.dtype == np.bool_
    assert result.scores[0] > 0.9
    np.testing.assert_allclose(result.boxes[0], CUP, atol=6)
    assert result.provider == "CPUExecutionProvider"
    assert {"decode", "upsample"} == set(result.timings)


def test_multimask_gives_three_best_first(predictor: Predictor, embedding: ImageEmbedding) -> None:
    result = predictor.predict(embedding, Prompt(points=[(250, 120)]))
    assert result.masks.shape == (3, 400, 600)
    assert result.logits.shape == (3, 256, 256)
    assert (np.diff(result.scores) <= 0).all()
    assert result.masks[:, 120, 250].all()


def test_several_prompts_equal_one_by_one(predictor: Predictor, embedding: ImageEmbedding) -> None:
    logits = predictor.predict(embedding, Prompt(box=CUP), multimask=False).logits[0]
    prompts = prompts_of_every_kind(logits)
    assert len(prompts) == 11
    for multimask in (True, False):
        together = predictor.predict(embedding, prompts, multimask=multimask)
        for prompt, result in zip(prompts, together, strict=True):
            alone = predictor.predict(embedding, prompt, multimask=multimask)
            np.testing.assert_allclose(result.logits, alone.logits, atol=2e-3)
            np.testing.assert_allclose(result.scores, alone.scores, atol=1e-4)
            assert min(map(iou, result.masks, alone.masks)) > 0.999


def test_no_prompts_give_no_results(predictor: Predictor, embedding: ImageEmbedding) -> None:
    assert predictor.predict(embedding, []) == []


def test_a_negative_point_takes_away(predictor: Predictor, embedding: ImageEmbedding) -> None:
    with_saucer = predictor.predict(embedding, Prompt(points=[(250, 120), (420, 330)]), multimask=False)
    without = predictor.predict(embedding, Prompt(points=[(250, 120), (420, 330)], labels=[1, 0]), multimask=False)
    assert with_saucer.masks[0, 330, 420]
    assert not without.masks[0, 330, 420]


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8])
def test_nothing_outside_the_valid_mask(predictor: Predictor, embedding: ImageEmbedding, dtype: type) -> None:
    valid: np.ndarray = np.zeros((400, 600), dtype=dtype)
    valid[100:300, 150:350] = 1
    free = predictor.predict(embedding, Prompt(box=CUP))
    held = predictor.predict(embedding, Prompt(box=CUP), valid_mask=valid)
    assert free.masks[:, valid == 0].any()
    assert not held.masks[:, valid == 0].any()
    assert (held.masks == free.masks & (valid != 0)).all()
    assert (held.boxes >= (150, 100, 150, 100)).all()
    assert (held.boxes <= (350, 300, 350, 300)).all()
    raised = np.stack([embedding.geometry.upsample(plane) > 0 for plane in held.logits])
    assert not raised[:, :95].any()
    assert not raised[:, :, 356:].any()


def test_an_empty_valid_mask_leaves_no_positive_logit(predictor: Predictor, embedding: ImageEmbedding) -> None:
    """Beyond the photograph as well: a point at its lower edge spreads into the padding."""
    prompt = Prompt(points=[(300, 395)])
    assert (predictor.predict(embedding, prompt).logits[:, 171:] > 0).any()
    held = predictor.predict(embedding, prompt, valid_mask=np.zeros((400, 600), bool))
    assert not held.masks.any()
    assert not (held.logits > 0).any()


def test_valid_mask_must_fit(predictor: Predictor, embedding: ImageEmbedding) -> None:
    with pytest.raises(InputError, match="valid_mask has shape"):
        predictor.predict(embedding, Prompt(box=CUP), valid_mask=np.ones((600, 400), bool))
    with pytest.raises(InputError, match="valid_mask is float64"):
        predictor.predict(embedding, Prompt(box=CUP), valid_mask=np.ones((400, 600)))


@pytest.mark.parametrize(("turn", "box"), [(0, CUP), (1, (18, 122, 390, 524))])
def test_any_aspect_agrees_with_the_padded_square(
    predictor: Predictor, coffee: np.ndarray, turn: int, box: tuple[int, int, int, int]
) -> None:
    """The photograph's tokens with stored padding around them, against the whole square: landscape and portrait."""
    image = np.ascontiguousarray(np.rot90(coffee, turn))
    free, square = (
        predictor.predict(predictor.encode(image, square=square), Prompt(box=box), multimask=False)
        for square in (False, True)
    )
    assert iou(free.masks[0], square.masks[0]) > 0.95


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (16, 16), (20, 700)])
def test_tiny_and_thin_photographs(predictor: Predictor, size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    result = predictor.predict(predictor.encode(image), Prompt(points=[(0, 0)]))
    assert result.masks.shape == (3, *size)
    assert np.isfinite(result.logits).all()


@pytest.mark.parametrize("long_side", [512, 768])
def test_a_shorter_long_side_still_finds_the_cup(predictor: Predictor, coffee: np.ndarray, long_side: int) -> None:
    embedding = predictor.encode(coffee, long_side=long_side)
    result = predictor.predict(embedding, Prompt(box=CUP), multimask=False)
    np.testing.assert_allclose(result.boxes[0], CUP, atol=12)


def test_encodes_a_path_as_the_array(predictor: Predictor, embedding: ImageEmbedding) -> None:
    from_path = predictor.encode(PHOTOGRAPHS / "coffee.png")
    np.testing.assert_array_equal(from_path.features, embedding.features)
    assert {"read", "preprocess", "encode"} == set(from_path.timings)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((10, 10), np.uint8), "shape"),
        (np.zeros((10, 10, 4), np.uint8), "shape"),
        (np.zeros((10, 10, 3), np.float32), "float32"),
        (np.zeros((10, 10, 3), np.int64), "int64"),
        (np.zeros((0, 10, 3), np.uint8), "no pixels"),
        ([[1, 2, 3]], "list"),
        (None, "NoneType"),
        (Path("/nonexistent.jpg"), "cannot read"),
    ],
)
def test_refuses_what_is_no_image(predictor: Predictor, image: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        predictor.encode(image)  # type: ignore[arg-type]


def test_refuses_what_is_no_prompt(predictor: Predictor, embedding: ImageEmbedding) -> None:
    with pytest.raises(InputError, match=r"expected an edge_sam\.Prompt or a sequence of them, got tuple"):
        predictor.predict(embedding, [(1, 2)])  # type: ignore[list-item]
    with pytest.raises(InputError, match=r"expected an edge_sam\.ImageEmbedding"):
        predictor.predict("photo.jpg", Prompt(box=CUP))  # type: ignore[call-overload]
    with pytest.raises(InputError, match="outside"):
        predictor.predict(embedding, Prompt(points=[(600, 10)]))


def test_load_refuses_what_there_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no model called 'sam-9'"):
        edge_sam.load("sam-9")
    with pytest.raises(InputError, match="has no precision 'int3'; it has w16"):
        edge_sam.load(precision="int3")
    with pytest.raises(InputError, match="unknown runtime 'abacus'"):
        edge_sam.load(runtime="abacus")
    for threads in (0, -1, 99999):
        with pytest.raises(InputError, match=r"threads is -?\d+; it must be 1 to 256"):
            edge_sam.load(threads=threads)
    monkeypatch.setenv("EDGE_SAM_THREADS", "many")
    with pytest.raises(InputError, match="'many'"):
        edge_sam.load()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": 123}, "model must be a name or a path, not int"),
        ({"model": None}, "model must be a name or a path, not NoneType"),
        ({"runtime": None}, 'runtime must be a name or "auto", not NoneType'),
        ({"runtime": ["onnxruntime"]}, 'runtime must be a name or "auto", not list'),
        ({"precision": None}, 'precision must be a name or "auto", not NoneType'),
        ({"precision": 16}, 'precision must be a name or "auto", not int'),
        ({"threads": "2"}, "threads must be a whole number, not str"),
        ({"threads": 2.0}, "threads must be a whole number, not float"),
        ({"threads": True}, "threads must be a whole number, not bool"),
        ({"runtime": "onnxruntime", "options": ["a=b"]}, "options must be a mapping or None, not list"),
    ],
)
def test_load_refuses_another_type(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        edge_sam.load(**given)
    assert str(caught.value) == message


def _answer(predictor: Predictor, image: np.ndarray, long_side: int) -> tuple[tuple[object, ...], np.ndarray]:
    """How a predictor was loaded, and one of its masks; runs in another process too."""
    result = predictor.predict(predictor.encode(image, long_side=long_side), Prompt(box=CUP), multimask=False)
    active = predictor.model.active.choice
    how = predictor.bundle.manifest, active.runtime, active.precision, active.threads, active.options
    return (*how, predictor.model.recipe), result.masks


def test_a_copy_is_loaded_by_the_same_recipe(coffee: np.ndarray) -> None:
    given: dict[str, Any] = {"runtime": "onnxruntime", "precision": "w16", "threads": 1}
    ours = edge_sam.load(**given, strict=True, options={"arena_extend_strategy": "kSameAsRequested"})
    how, masks = _answer(ours, coffee, 256)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        theirs = pool.submit(_answer, ours, coffee, 256).result()
    for what, mask in (theirs, _answer(copy.deepcopy(ours), coffee, 256)):
        assert what == how
        np.testing.assert_array_equal(mask, masks)
    assert copy.copy(ours).model is ours.model
    assert copy.deepcopy(ours).model is not ours.model


def test_a_copy_of_a_predictor_that_fell_back_does_so_no_more(predictor: Predictor) -> None:
    choices = [replace(predictor.model.active.choice, runtime=name) for name in ("tensorrt", "onnxruntime")]
    with pytest.warns(RuntimeFallbackWarning):
        fallen = Predictor(Model(predictor.bundle, choices, strict=False))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = pickle.loads(pickle.dumps(fallen))
    assert again.runtime == fallen.runtime == "onnxruntime"


def test_one_thread_gives_the_same_masks(predictor: Predictor, coffee: np.ndarray, embedding: ImageEmbedding) -> None:
    single = edge_sam.load(threads=1)
    a = single.predict(single.encode(coffee), Prompt(box=CUP), multimask=False)
    b = predictor.predict(embedding, Prompt(box=CUP), multimask=False)
    assert iou(a.masks[0], b.masks[0]) > 0.999


def test_result_is_a_result(predictor: Predictor, embedding: ImageEmbedding) -> None:
    assert isinstance(predictor.predict(embedding, Prompt(box=CUP)), Result)
    several = predictor.predict(embedding, [Prompt(box=CUP)] * 9)
    assert len(several) == 9


def test_the_decoder_makes_the_same_logits_for_a_part_of_the_frame(
    predictor: Predictor, embedding: ImageEmbedding
) -> None:
    inputs = {
        "point_coords": np.array([[[400.0, 200.0], [0.0, 0.0]]], np.float32),
        "point_labels": np.array([[1, -1]]),
    }

    def logits(size: tuple[int, int]) -> np.ndarray:
        listed = token_list(*size, full_grid=True)
        tokens = {"image_tokens": listed.take(embedding.features[None]), **listed.inputs}
        return predictor.model.active.decoder.run({**tokens, **inputs, "token_size": np.array(size)})["low_res_logits"]

    whole, part = logits((64, 64)), logits((36, 50))
    assert part.shape == (1, 4, 144, 200)
    np.testing.assert_allclose(part, whole[:, :, :144, :200], atol=1e-3)


class Watched(Session):
    """The real decoder without its upscaling, which keeps the shape of the points that it was given."""

    def __init__(self, session: Session) -> None:
        self.provider, self.input_names, self._session = session.provider, session.input_names, session
        self.shapes: list[tuple[int, ...]] = []

    def run(self, inputs: Mapping[str, Any]) -> Tensors:
        self.shapes.append(inputs["point_labels"].shape)
        return self._session.run(inputs)


def test_long_prompts_share_no_call(
    predictor: Predictor, embedding: ImageEmbedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a call takes grows with its prompts times the longest of them; 1000 points take 0.35 GB."""
    assert isinstance(predictor.model.active.decoder, TwoPartDecoder)
    decoder = Watched(predictor.model.active.decoder.attention)
    watched = Predictor(predictor.model.replaced({"decoder": decoder}))
    rng = np.random.default_rng(0)
    several = [Prompt(points=rng.uniform((0, 0), (600, 400), (count, 2))) for count in (1, 8, 1, 4, 4, 2, 2, 1)]
    several.insert(6, Prompt(points=[(250, 120)], mask=np.zeros((256, 256), np.float32)))
    monkeypatch.setattr("edge_sam.prompts.POINT_LIMIT", 10)
    together = list(watched.answers(embedding, several, 3))
    assert decoder.shapes == [(1, 2), (1, 9), (2, 5), (2, 5), (1, 2), (2, 3)]
    for prompt, answer in zip(several, together, strict=True):
        (alone,) = predictor.answers(embedding, [prompt])
        np.testing.assert_allclose(answer.logits, alone.logits, atol=1e-3)


def test_more_points_than_an_engine_is_compiled_for(predictor: Predictor, embedding: ImageEmbedding) -> None:
    points = [(200 + i, 120) for i in range(MAX_POINTS)]  # And the padding that goes with points alone.
    compiled = Predictor(predictor.model.replaced({}))
    compiled.model.active.choice = replace(predictor.model.active.choice, runtime="tensorrt:0")
    with pytest.raises(InputError, match="a prompt has 65 points, box corners and padding included; tensorrt:0 is"):
        compiled.predict(embedding, Prompt(points=points))
    assert compiled.predict(embedding, Prompt(points=points[1:])).masks.any()
    assert predictor.predict(embedding, Prompt(points=points)).masks.any()
