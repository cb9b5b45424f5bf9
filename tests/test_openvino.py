"""OpenVINO is compiled for the size that keeps coming, and goes back when it changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import edge_sam
from edge_sam.bundle import open_bundle
from edge_sam.runtimes import SessionOptions, openvino_device, probe
from edge_sam.runtimes.openvino_device import RUNS_ALIKE, OpenVinoSession

pytestmark = pytest.mark.skipif(probe("openvino") is not None, reason="openvino is not usable here")
WIDE, TALL = (128, 256), (256, 192)
Inputs = dict[str, NDArray[Any]]


def images(size: tuple[int, int], seed: int = 0) -> Inputs:
    return {"image": np.random.default_rng(seed).normal(size=(1, 3, *size)).astype(np.float32)}


def for_size(size: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    return {"image": (1, 3, *size)}


def open_encoder(*, steady: bool) -> OpenVinoSession:
    bundle = open_bundle("mobile-sam")
    file = bundle.verified_file(bundle.component("encoder", "w16", "onnx"))
    return openvino_device.open_session(file, SessionOptions(steady=steady, threads=2))


@pytest.fixture(scope="module")
def expected() -> dict[tuple[tuple[int, int], int], NDArray[np.float32]]:
    """What the model compiled for any size answers."""
    session = open_encoder(steady=False)
    answers = {(size, seed): session.run(images(size, seed)) for size in (WIDE, TALL) for seed in range(2)}
    assert session.compiled_for is None
    return {key: answer["image_embedding"] for key, answer in answers.items()}


def test_it_is_compiled_for_a_size_that_keeps_coming_and_less_and_less_eagerly(expected: Mapping[Any, Any]) -> None:
    session = open_encoder(steady=True)
    enough = RUNS_ALIKE
    for size in (WIDE, TALL, WIDE):
        for number in range(1, enough + 2):
            answer = session.run(images(size, number % 2))["image_embedding"]
            np.testing.assert_allclose(answer, expected[size, number % 2], atol=1e-4)
            assert session.compiled_for == (for_size(size) if number >= enough else None)
        enough *= 2


def test_sizes_in_turn_are_never_compiled_for() -> None:
    session = open_encoder(steady=True)
    for _ in range(2 * RUNS_ALIKE):
        for size in (WIDE, TALL):
            session.run(images(size))
            assert session.compiled_for is None


def _answer_otherwise(outputs: Inputs) -> Inputs:
    return {name: array * np.float32(1.2) for name, array in outputs.items()}


def _fail(_outputs: Inputs) -> Inputs:
    raise RuntimeError("could not create a primitive")


@pytest.mark.parametrize("fault", [_answer_otherwise, _fail])
def test_a_model_for_a_size_that_is_no_good_is_not_used(
    expected: Mapping[Any, Any], monkeypatch: pytest.MonkeyPatch, fault: Callable[[Inputs], Inputs]
) -> None:
    run = openvino_device._Compiled.run

    def faulty(self: openvino_device._Compiled, inputs: Mapping[str, Any]) -> Inputs:
        return run(self, inputs) if self.shapes is None else fault(run(self, inputs))

    monkeypatch.setattr(openvino_device._Compiled, "run", faulty)
    session = open_encoder(steady=True)
    for _ in range(4 * RUNS_ALIKE):
        answer = session.run(images(WIDE))["image_embedding"]
        np.testing.assert_allclose(answer, expected[WIDE, 0], atol=1e-4)
        assert session.compiled_for is None


def test_threads_with_different_sizes_get_their_own_answers(expected: Mapping[Any, Any]) -> None:
    session = open_encoder(steady=True)

    def work(number: int) -> None:
        key = ((WIDE, TALL)[number // 4 % 2], number % 2)
        answer = session.run(images(*key))["image_embedding"]
        np.testing.assert_allclose(answer, expected[key], atol=1e-4)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(32)))


@pytest.mark.usefixtures("own_cache")  # Where the guard has not run yet.
def test_only_the_encoder_of_a_predictor_settles(coffee: np.ndarray) -> None:
    predictor = edge_sam.load("mobile-sam", runtime="openvino", strict=True)
    for _ in range(RUNS_ALIKE):
        embedding = predictor.encode(coffee, long_side=256)
        predictor.predict(embedding, edge_sam.Prompt(points=[(250, 120)]))
    active = predictor.model.active
    assert isinstance(active.encoder, OpenVinoSession)
    assert isinstance(active.decoder, OpenVinoSession)
    assert active.encoder.compiled_for is not None
    assert active.decoder.compiled_for is None
