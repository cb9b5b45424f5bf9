"""What a deadline measures on the first frame: real work, in the state of a long run."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest
from conftest import read_rgb
from scenes import COFFEE
from streams import CUP, scene

import edge_sam
from edge_sam import Prompt
from edge_sam.camera import step_times
from edge_sam.camera.adaptive_model import AdaptiveModel
from edge_sam.camera.deadline import Deadline
from edge_sam.predictor import Predictor
from edge_sam.runtimes import why_unusable
from edge_sam.runtimes.openvino_device import OpenVinoSession
from edge_sam.tracking import Tracker
from edge_sam.tracking.stillness import Stillness
from edge_sam.tracking.tracked import Tracked

PROMPT = Prompt(box=CUP)
BLACK = np.zeros((128, 192, 3), np.uint8)
SLOPE = np.broadcast_to(np.linspace(0, 60, 1920).astype(np.uint8)[None, :, None], (1080, 1920, 3))


@pytest.fixture(scope="module")
def frame() -> np.ndarray:
    return np.ascontiguousarray(scene(read_rgb(COFFEE), 1)[0][..., ::-1])


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The stages of every timed step, and whether OpenVINO was compiled for its size."""
    seen: list[set[str]] = []

    class Watched(Tracker):
        def step(self, image: np.ndarray, *, encode: bool = True) -> list[Tracked]:
            found = super().step(image, encode=encode)
            encoder = self._predictor.model.active.encoder
            size = {"compiled"} if isinstance(encoder, OpenVinoSession) and _size(encoder) == self.long_side else set()
            seen.append(set(self.timings) & {"encode", "flow", "reused"} | size)
            return found

    monkeypatch.setattr(step_times, "Tracker", Watched)
    return seen


def _size(encoder: OpenVinoSession) -> int | None:
    """The long side that it is compiled for."""
    return max(encoder.compiled_for["image"][2:]) if encoder.compiled_for else None


@pytest.mark.parametrize("long_side", [256, 1024])
@pytest.mark.parametrize("image", [BLACK, SLOPE, read_rgb(COFFEE), np.zeros((2, 3, 3), np.uint8), BLACK[:, :1]])
def test_no_two_frames_are_alike(image: np.ndarray, long_side: int) -> None:
    frames = step_times.distinct_frames(image, long_side)
    assert {f.shape for f in frames} == {image.shape}
    for before, after in itertools.permutations(frames, 2):
        stillness = Stillness()
        stillness.keep(before, long_side)
        assert not stillness.still(after, long_side)


@pytest.mark.parametrize("picture", ["cup", "black"])
def test_a_carried_frame_is_timed_and_not_one_that_is_reused(
    predictor: Predictor, frame: np.ndarray, stages: list[set[str]], picture: str
) -> None:
    image = frame if picture == "cup" else np.zeros_like(frame)
    encoded, carried = step_times.measure(predictor, image, [PROMPT], (320, 256))
    assert stages == [{"encode"}] * 4 + [{"flow"}] * 2
    assert list(encoded) == [320, 256]
    assert carried > 0


@pytest.mark.thorough
@pytest.mark.skipif(why_unusable("openvino") is not None, reason="openvino is not usable here")
def test_openvino_is_compiled_for_a_size_before_it_is_timed(
    frame: np.ndarray, stages: list[set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_sam.camera.adaptive_model.LONG_SIDES", (256, 192))
    predictor = edge_sam.load("mobile-sam", runtime="openvino", strict=True)
    encoder = predictor.model.active.encoder
    assert isinstance(encoder, OpenVinoSession)
    plan = AdaptiveModel(predictor, None, Deadline(budget_ms=1e6))
    plan.prepare(frame, [PROMPT])
    assert stages == [{"encode", "compiled"}] * 4 + [{"flow", "compiled"}] * 2
    assert plan.setting.long_side == _size(encoder) == 256
    for _ in range(3):
        plan.learn(frame, 1e7, encoded=True)
    plan._warming.join()
    assert plan.setting.long_side == _size(encoder) == 192


def test_frames_beside_the_warm_up_of_another_long_side_do_not_count(
    predictor: Predictor, frame: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_sam.camera.adaptive_model.measure", lambda *_: ({1024: 900.0, 384: 40.0, 256: 20.0}, 5.0))
    plan = AdaptiveModel(predictor, None, Deadline(budget_ms=100))
    plan.prepare(frame, [PROMPT])
    assert plan.setting.long_side == 384
    warmed: list[int] = []
    go_on = threading.Event()

    def warm_up(_: np.ndarray, long_side: int) -> None:
        warmed.append(long_side)
        go_on.wait(60)

    monkeypatch.setattr(predictor, "warm_up", warm_up)

    def learn(milliseconds: float, frames: int = 3) -> int:
        for _ in range(frames):
            plan.learn(frame, milliseconds, encoded=True)
        return plan.setting.long_side

    assert learn(150.0) == 256
    assert learn(9000.0) == 256
    go_on.set()
    plan._warming.join()
    assert learn(20.0, 40) == 384
    plan._warming.join()
    assert warmed == [256, 384]
