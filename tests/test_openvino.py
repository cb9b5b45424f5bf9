"""OpenVINO is compiled for the size that keeps coming, and goes back when it changes."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import edge_sam
from edge_sam.bundles.bundle import open_bundle
from edge_sam.inference.decoder_parts import TwoPartDecoder
from edge_sam.runtimes import SessionOptions, openvino_device, why_unusable
from edge_sam.runtimes.openvino_device import RUNS_ALIKE, OpenVinoSession

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(why_unusable("openvino") is not None, reason="openvino is not usable here"),
]
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


def finished(session: OpenVinoSession) -> tuple[tuple[int, int], ...]:
    """Sizes that the model is compiled for, once a thread that compiles has ended."""
    session._finish_compiling()
    return () if session.compiled_for is None else (session.compiled_for["image"][2:],)  # type: ignore[return-value]


def test_it_is_compiled_for_a_size_that_keeps_coming_and_less_and_less_eagerly(expected: Mapping[Any, Any]) -> None:
    session = open_encoder(steady=True)
    enough = RUNS_ALIKE
    before: tuple[tuple[int, int], ...] = ()
    for size in (WIDE, TALL, WIDE):
        for number in range(1, enough + 2):
            answer = session.run(images(size, number % 2))["image_embedding"]
            np.testing.assert_allclose(answer, expected[size, number % 2], atol=1e-4)
            assert finished(session) == ((size,) if number >= enough else before)
        enough, before = 2 * enough, (size,)


def test_sizes_in_turn_are_never_compiled_for() -> None:
    session = open_encoder(steady=True)
    for _ in range(2 * RUNS_ALIKE):
        for size in (WIDE, TALL):
            session.run(images(size))
            assert finished(session) == ()


def test_no_run_waits_for_the_compiler_and_one_thread_compiles(
    expected: Mapping[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = open_encoder(steady=True)
    compile_model, go_on, begun = session._compile, threading.Event(), []

    def slow(shapes: dict[str, tuple[int, ...]] | None) -> openvino_device._Compiled:
        begun.append(shapes)
        assert go_on.wait(60)
        return compile_model(shapes)

    monkeypatch.setattr(session, "_compile", slow)
    for size in (WIDE, TALL):
        for number in range(4 * RUNS_ALIKE):
            answer = session.run(images(size, number % 2))["image_embedding"]
            np.testing.assert_allclose(answer, expected[size, number % 2], atol=1e-4)
    assert (begun, session.compiled_for) == ([for_size(WIDE)], None)
    go_on.set()
    assert finished(session) == (WIDE,)


def test_it_is_compiled_at_once_where_that_is_asked_for(expected: Mapping[Any, Any]) -> None:
    session = open_encoder(steady=True)
    for size in (WIDE, TALL):
        session.warm_up(images(size))
        assert session.compiled_for == for_size(size)
        np.testing.assert_allclose(session.run(images(size))["image_embedding"], expected[size, 0], atol=1e-4)


def test_the_interpreter_ends_while_a_thread_compiles() -> None:
    script = (
        "from test_openvino import *; session = open_encoder(steady=True)\n"
        "for _ in range(RUNS_ALIKE): session.run(images(WIDE))\n"
        "assert session._compiling is not None"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parent, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_signal_is_handled_after_two_predictors_were_dropped_in_the_order_of_loading() -> None:
    script = """
import signal, edge_sam
first, second = (edge_sam.load(runtime="openvino", strict=True) for _ in range(2))
del first
del second
signal.signal(signal.SIGINT, lambda *_: print("handled"))
signal.raise_signal(signal.SIGINT)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "handled\n")


def _answer_otherwise(outputs: Inputs) -> Inputs:
    return {name: array * np.float32(1.2) for name, array in outputs.items()}


def _fail(_outputs: Inputs) -> Inputs:
    raise RuntimeError("could not create a primitive")


def _run_out_of_memory(_outputs: Inputs) -> Inputs:
    raise MemoryError


@pytest.mark.parametrize("fault", [_answer_otherwise, _fail, _run_out_of_memory])
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
        assert finished(session) == ()


@pytest.mark.parametrize("spoilt", [np.nan, np.inf])
def test_an_input_without_an_answer_decides_nothing(spoilt: float, caplog: pytest.LogCaptureFixture) -> None:
    session, picture = open_encoder(steady=True), images(WIDE)
    bad = {"image": np.full_like(picture["image"], spoilt)}
    for inputs in (bad, bad, bad, bad, picture):
        session.warm_up(bad)
        assert finished(session) == ()
        session.run(inputs)
    assert finished(session) == (WIDE,)
    assert not caplog.records


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
    assert finished(active.encoder)
    assert isinstance(active.decoder, TwoPartDecoder)
    for part in (active.decoder.attention, active.decoder.upscaling):
        assert isinstance(part, OpenVinoSession)
        assert not finished(part)
