"""Every runtime that is usable here gives the same masks, from one thread and from many."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import PHOTOGRAPHS, iou, read_rgb

import edge_sam
from edge_sam import InputError, Predictor, Prompt
from edge_sam.errors import RuntimeUnavailableError
from edge_sam.inference.decoder_parts import TwoPartDecoder
from edge_sam.runtimes import BACKENDS, Backend, SessionOptions, backend, why_unusable
from edge_sam.runtimes.openvino_device import OpenVinoSession

PROMPTS = [
    Prompt(box=(76, 18, 478, 390)),
    Prompt(points=[(250, 120)]),
    Prompt(points=[(250, 120), (420, 330)], labels=[1, 0], box=(76, 18, 478, 390)),
]


@pytest.mark.parametrize("name", BACKENDS)
def test_a_backend_has_every_member_of_the_protocol(name: str) -> None:
    module = backend(name)
    members = {*Backend.__annotations__, *(member for member in vars(Backend) if not member.startswith("_"))}
    assert members == {
        *("MODEL_FORMATS", "PACKAGES", "BUILDS_ENGINES", "why_unusable", "install_command", "load_package"),
        *("runs_on_cpu", "hardware", "open_session"),
    }
    assert not [member for member in members if not hasattr(module, member)]


@pytest.fixture(scope="module", params=list(BACKENDS))
def other(request: pytest.FixtureRequest) -> Predictor:
    reason = why_unusable(request.param)
    if reason:
        pytest.skip(reason)
    return edge_sam.load(runtime=request.param, strict=True)


def test_masks_agree_with_the_default(predictor: Predictor, other: Predictor, coffee: np.ndarray) -> None:
    answers = []
    for each in (predictor, other):
        embedding = each.encode(coffee)
        mask = each.predict(embedding, PROMPTS[0], multimask=False).logits[0]
        answers.append(each.predict(embedding, [*PROMPTS, Prompt(points=[(250, 120)], mask=mask)], multimask=False))
    for reference, result in zip(*answers, strict=True):
        assert iou(result.masks[0], reference.masks[0]) >= 0.99
        np.testing.assert_allclose(result.scores, reference.scores, atol=2e-3)
    assert other.provider


def test_threads_may_share_a_predictor(other: Predictor) -> None:
    photographs = [read_rgb(path) for path in sorted(PHOTOGRAPHS.glob("*.png"))]

    def work(number: int) -> list[np.ndarray]:
        embedding = other.encode(photographs[number % len(photographs)], long_side=256)
        return [other.predict(embedding, Prompt(points=[(100 + 10 * number, 150)])).logits for _ in range(3)]

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(work, range(8)))
    for number, results in enumerate(together):
        for alone, shared in zip(work(number), results, strict=True):
            np.testing.assert_allclose(shared, alone, atol=2e-3)


def test_a_file_that_is_no_model_is_refused(other: Predictor, tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"not a model")
    with pytest.raises(RuntimeUnavailableError, match=r"x\.onnx"):
        backend(other.runtime).open_session(tmp_path / "x.onnx", SessionOptions())


@pytest.mark.thorough
@pytest.mark.usefixtures("own_cache")
def test_options_reach_the_runtime() -> None:
    with pytest.raises(InputError, match="name it instead of auto"):
        edge_sam.load(options={"NUM_STREAMS": "1"})
    if why_unusable("openvino"):
        pytest.skip("openvino is not usable here")
    loaded = edge_sam.load(runtime="openvino", strict=True, options={"INFERENCE_NUM_THREADS": "1"})
    decoder = loaded.model.active.decoder
    assert isinstance(decoder, TwoPartDecoder)
    assert isinstance(decoder.attention, OpenVinoSession)
    assert decoder.attention._general.model.get_property("INFERENCE_NUM_THREADS") == 1
    with pytest.raises(RuntimeUnavailableError, match="NO_SUCH_THING"):
        edge_sam.load(runtime="openvino", strict=True, options={"NO_SUCH_THING": "1"})


@pytest.mark.thorough
def test_a_thousand_clicks_leave_no_memory_behind(predictor: Predictor, coffee: np.ndarray) -> None:
    embedding = predictor.encode(coffee, long_side=256)

    def click() -> None:
        predictor.predict(embedding, PROMPTS[1], multimask=False)

    for _ in range(50):
        click()
    before = resident_bytes()
    for _ in range(1000):
        click()
    assert resident_bytes() - before < 5e6


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
