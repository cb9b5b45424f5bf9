"""`edge_sam.Stream` on real video files, folders and loopback streams, with the real model."""

from __future__ import annotations

import errno
import re
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from backends import Failing, register_backend
from conftest import iou, read_pixels
from streams import CUP, GARBAGE, HANG, broadcast, jpeg, read_video, scene, write_folder, write_video

import edge_sam
from edge_sam.camera import PushedFrames, step_times
from edge_sam.camera.frames import Captured, StreamFrame
from edge_sam.camera.sinks import MaskSink, VideoSink
from edge_sam.camera.sources import SourceLostError
from edge_sam.errors import InputError, RuntimeFallbackWarning
from edge_sam.runtimes import AUTO, SessionOptions, onnxruntime_cpu

PROMPT = edge_sam.Prompt(box=CUP)
Make = Callable[..., edge_sam.Stream]


@pytest.fixture(scope="module")
def frames(coffee: np.ndarray) -> list[np.ndarray]:
    return scene(coffee, 8)


@pytest.fixture(scope="module")
def video(frames: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "cup.mp4", frames)


@pytest.fixture
def stream_of(predictor: edge_sam.Predictor) -> Make:
    def make(source: object, prompts: object = (PROMPT,), **options: object) -> edge_sam.Stream:
        return edge_sam.Stream(source, predictor, prompts, **({"long_side": 256} | options))  # type: ignore[arg-type]

    return make


class SlowSink:
    """A sink that takes its time, and keeps what it got."""

    name = "slow"

    def __init__(self, seconds: float) -> None:
        self.seen: list[int] = []
        self.closed = False
        self._seconds = seconds

    def write(self, frame: StreamFrame) -> None:
        time.sleep(self._seconds)
        self.seen.append(frame.index)

    def close(self) -> None:
        self.closed = True


class FullSink(SlowSink):
    """A sink whose disk is full at the third frame."""

    def write(self, frame: StreamFrame) -> None:
        super().write(frame)
        if len(self.seen) == 3:
            raise OSError(errno.ENOSPC, "No space left on device", "disk")


def test_every_frame_of_a_file_in_order(stream_of: Make, video: Path, frames: list[np.ndarray]) -> None:
    slow = SlowSink(0.02)
    with stream_of(video, every_frame=True, sinks=[slow]) as stream:
        seen = list(stream)
    assert [frame.index for frame in seen] == list(range(8)) == slow.seen
    assert slow.closed
    assert [frame.name for frame in seen[:2]] == ["frame-000000", "frame-000001"]
    for frame, original in zip(seen, frames, strict=True):
        assert np.abs(frame.image[..., ::-1].astype(int) - original).mean() < 12  # RGB; the codec loses a little.
        assert frame.objects[0].state == "held"
        assert frame.latency_ms >= frame.timings["segment"]
    first, last = (np.flatnonzero(frame.objects[0].mask.any(axis=0)) for frame in (seen[0], seen[-1]))
    assert last.mean() < first.mean()  # The camera turns to the right.
    summary = stream.summary()
    assert (summary["frames"], summary["encoded"], summary["dropped"]) == (8, 8, 0)
    assert summary["sinks_dropped"] == {"slow": 0}
    assert summary["ended"] == "end of source"


def test_the_masks_are_the_predictors(stream_of: Make, video: Path, predictor: edge_sam.Predictor) -> None:
    first = next(iter(stream_of(video, every_frame=True)))
    embedding = predictor.encode(first.image, long_side=256)
    assert iou(first.objects[0].mask, predictor.predict(embedding, PROMPT, multimask=False).masks[0]) > 0.95


def test_a_folder_names_its_frames_and_masks(stream_of: Make, frames: list[np.ndarray], tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "frames", frames[:3])
    (folder / "00001.jpg").write_bytes(b"\xff\xd8\xff damaged")
    (folder / "._00001.jpg").write_bytes(b"as macOS leaves it: no picture at all")
    with stream_of(folder, every_frame=True, sinks=[MaskSink(tmp_path / "masks")]) as stream:
        seen = list(stream)
    assert [frame.name for frame in seen] == ["00000", "00002"]
    assert stream.summary()["corrupt"] == 1
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == ["00000.png", "00002.png"]
    for frame in seen:
        picture = read_pixels(tmp_path / "masks" / f"{frame.name}.png")
        assert (picture == frame.objects[0].mask * np.uint8(255)).all()


def test_several_objects_have_a_number_each(stream_of: Make, video: Path, tmp_path: Path) -> None:
    prompts = [PROMPT, edge_sam.Prompt(points=[(185, 64)])]
    with stream_of(video, prompts, every_frame=True, sinks=[MaskSink(tmp_path)]) as stream:
        frame = next(iter(stream))
    first, second = (tracked.mask for tracked in frame.objects)
    picture = read_pixels(tmp_path / f"{frame.name}.png")
    assert set(np.unique(picture)) <= {0, 1, 2}
    assert (picture[first & ~second] == 1).all()
    assert (picture[second & ~first] == 2).all()


def test_a_slow_consumer_gets_new_frames(stream_of: Make, frames: list[np.ndarray], tmp_path: Path) -> None:
    path = write_video(tmp_path / "long.mp4", frames * 5, rate=100)
    slow = SlowSink(0.15)
    with stream_of(path, (), sinks=[slow]) as stream:
        seen = [frame.index for frame in stream]
    assert len(slow.seen) < len(seen)
    assert slow.seen == sorted(slow.seen)
    assert slow.seen[-1] == seen[-1]  # What comes last is never dropped.
    assert stream.summary()["sinks_dropped"]["slow"] == stream.summary()["frames"] - len(slow.seen)


def test_a_source_that_dies_20_times_is_picked_up_20_times(stream_of: Make, frames: list[np.ndarray]) -> None:
    pictures = [jpeg(frame) for frame in frames[:2]]
    with broadcast([pictures] * 21) as address, stream_of(address, (), patience=1.0) as stream:
        seen: list[StreamFrame] = []
        with pytest.raises(SourceLostError, match="did not come back within 1 s"):
            seen.extend(stream)
    assert stream.summary()["reconnects"] == 20
    assert stream.summary()["frames"] + stream.summary()["dropped"] <= 42
    assert [frame.index for frame in seen] == sorted({frame.index for frame in seen})


def test_tracking_goes_on_after_a_silent_stream(stream_of: Make, frames: list[np.ndarray]) -> None:
    first, second = [jpeg(frame) for frame in frames[:2]], [jpeg(frame) for frame in frames[2:4]]
    with broadcast([[*first, HANG], [*second, HANG]]) as address, stream_of(address, timeout=0.5) as stream:
        for frame in stream:
            assert frame.objects[0].state == "held"
            if stream.summary()["reconnects"] == 1:
                break
    assert stream.summary()["ended"] == "stopped"


def test_a_corrupt_picture_and_a_new_size_in_mid_stream(stream_of: Make, coffee: np.ndarray) -> None:
    small = [jpeg(frame) for frame in scene(coffee, 3)]
    large = [jpeg(frame) for frame in scene(coffee, 3, 384, 256)]
    sizes = set()
    pictures = [[*small, GARBAGE, *small], [*large, HANG]]
    with broadcast(pictures, rate=10) as address, stream_of(address, timeout=2) as stream:
        for frame in stream:
            sizes.add(frame.image.shape)
            assert frame.objects[0].mask.shape == frame.image.shape[:2]
            assert frame.objects[0].state == "held"
            if frame.image.shape[1] == 384:
                break
    width = np.ptp(np.flatnonzero(frame.objects[0].mask.any(axis=0)))
    assert sizes == {(128, 192, 3), (256, 384, 3)}
    assert 200 < width < 320  # The cup, twice as wide as before.


def test_prompts_change_while_it_runs(stream_of: Make, video: Path, caplog: pytest.LogCaptureFixture) -> None:
    with stream_of(video, (), every_frame=True) as stream:
        iterator = iter(stream)
        assert next(iterator).objects == []
        stream.prompt([edge_sam.Prompt(points=[(5000, 5)])])
        stream.prompt([PROMPT])
        later = [len(frame.objects) for frame in iterator]
    assert later[-1] == 1
    assert not caplog.records  # The impossible prompt was replaced before a frame saw it.
    with stream_of(video, every_frame=True) as stream:
        iterator = iter(stream)
        next(iterator)
        stream.prompt([edge_sam.Prompt(points=[(5000, 5)])])
        assert all(frame.objects[0].state == "held" for frame in iterator)
    assert "skipping the new prompt: point (5000, 5) lies outside the 192×128 image" in caplog.text


@pytest.mark.parametrize("options", [{}, {"fps": 30.0}])
def test_a_prompt_that_comes_before_the_first_frame_may_be_wrong(
    stream_of: Make, video: Path, caplog: pytest.LogCaptureFixture, options: dict[str, float]
) -> None:
    wrong = edge_sam.Prompt(points=[(5000, 5)])
    with stream_of(video, (), every_frame=True, **options) as stream:
        stream.prompt([wrong])
        assert [len(frame.objects) for frame in stream] == [0] * 8
    assert caplog.text.count("skipping the new prompt: point (5000, 5) lies outside the 192×128 image") == 1
    with stream_of(video, lambda _: [wrong], every_frame=True, **options) as stream:
        assert [len(frame.objects) for frame in stream] == [0] * 8
    with stream_of(video, every_frame=True, **options) as stream:
        stream.prompt([wrong])
        assert [len(frame.objects) for frame in stream] == [1] * 8
    with stream_of(video, [wrong], every_frame=True, **options) as stream, pytest.raises(InputError, match="outside"):
        next(iter(stream))


@pytest.mark.parametrize("wrong", ["cup", ["cup"], [(24, 6, 152, 124)], 5])
def test_what_is_no_prompt_is_refused(
    stream_of: Make, video: Path, caplog: pytest.LogCaptureFixture, wrong: object
) -> None:
    reason = r"expected an edge_sam\.Prompt|reads no text"
    with pytest.raises(InputError, match=reason):
        stream_of(video, wrong)
    with stream_of(video, lambda _: wrong, every_frame=True) as stream:
        with pytest.raises(InputError, match=reason):
            stream.prompt(wrong)  # type: ignore[arg-type]
        assert [len(frame.objects) for frame in stream] == [0] * 8
    assert re.search(f"skipping the new prompt: .*({reason})", caplog.text)


def test_a_callback_prompts(stream_of: Make, video: Path) -> None:
    def ask(captured: Captured) -> Sequence[edge_sam.Prompt] | None:
        assert captured.image.shape == (128, 192, 3)
        return {2: [PROMPT], 5: []}.get(captured.index)

    with stream_of(video, ask, every_frame=True) as stream:
        assert [len(frame.objects) for frame in stream] == [0, 0, 1, 1, 1, 0, 0, 0]


def test_a_full_disk_ends_in_order(stream_of: Make, video: Path, tmp_path: Path) -> None:
    full, whole = FullSink(0), VideoSink(tmp_path / "out.mp4", 25, in_time=False)
    with stream_of(video, every_frame=True, sinks=[whole, full]) as stream, pytest.raises(OSError, match="No space"):
        list(stream)
    assert full.closed
    assert 3 <= len(read_video(tmp_path / "out.mp4")) <= 6
    assert "No space left on device" in stream.summary()["ended"]
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_a_video_is_closed_before_the_disk_is_full(
    stream_of: Make, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = iter([10**12])
    monkeypatch.setattr("edge_sam.camera.sinks._LOOK_EVERY", 2)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=next(free, 0)))
    sink = VideoSink(tmp_path / "out.mp4", 25, in_time=False)
    with stream_of(video, every_frame=True, sinks=[sink]) as stream, pytest.raises(OSError, match="less than 32 MB"):
        list(stream)
    assert len(read_video(tmp_path / "out.mp4")) == 2


def test_pushed_frames_serve_one_stream_after_the_other(stream_of: Make, coffee: np.ndarray) -> None:
    pictures = [np.ascontiguousarray(frame[..., ::-1]) for frame in scene(coffee, 2)]
    source = PushedFrames()
    for number, picture in enumerate(pictures):
        if number == 0:
            source.push(picture, "0")  # Before there is a stream.
        with stream_of(source) as stream:
            if number:
                source.push(picture, str(number))
            assert [next(iter(stream)).name] == [str(number)]
    assert sum(thread.name == "edge-sam capture" for thread in threading.enumerate()) <= 1
    source.end()


def test_a_disk_that_is_full_at_once_leaves_the_video_that_was_there(
    stream_of: Make, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(video, tmp_path / "out.mp4")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))
    sink = VideoSink(tmp_path / "out.mp4", 25, in_time=False)
    with stream_of(video, every_frame=True, sinks=[sink]) as stream, pytest.raises(OSError, match="less than 32 MB"):
        list(stream)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert (tmp_path / "out.mp4").read_bytes() == video.read_bytes()


def test_a_file_waits_until_the_model_is_ready(stream_of: Make, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[float] = []
    original = step_times.measure

    def measure(*arguments: Any) -> tuple[dict[int, float], float]:
        answer = original(*arguments)
        measured.append(time.time())
        return answer

    monkeypatch.setattr("edge_sam.camera.adaptive_model.measure", measure)
    with stream_of(video, fps=1) as stream:
        first = next(iter(stream))
    assert first.index == 0
    assert first.time >= measured[0]


def test_stopping_from_another_thread(stream_of: Make, frames: list[np.ndarray]) -> None:
    with broadcast([[*(jpeg(frame) for frame in frames), HANG]]) as address, stream_of(address, timeout=20) as stream:
        threading.Timer(0.5, stream.stop).start()
        assert len(list(stream)) >= 1
    assert stream.summary()["ended"] == "stopped"


@pytest.mark.thorough
def test_a_deadline_chooses_from_what_was_measured(
    stream_of: Make, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_sam.camera.adaptive_model.LONG_SIDES", (384, 256))
    with stream_of(video, every_frame=True, long_side=None, fps=0.01) as stream:
        assert {frame.long_side for frame in stream} == {384}
    with stream_of(video, every_frame=True, long_side=None, budget_ms=0.001) as stream:
        assert {frame.long_side for frame in stream} == {256}
    assert stream.summary()["setting"] == {"long_side": 256, "interval": 1, "met": False}


@pytest.mark.thorough
@pytest.mark.usefixtures("own_cache")
def test_the_fastest_runtime_keeps_the_threads_and_the_fallback(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads, lost = set(), set()

    def opens(name: str) -> Callable[[Path, SessionOptions], Failing]:
        def open_session(model: Path, options: SessionOptions) -> Failing:
            threads.add(options.threads)
            return Failing(onnxruntime_cpu.open_session(model, options), lambda: name in lost)

        return open_session

    for name in AUTO:
        register_backend(monkeypatch, name, open_session=opens(name))
    monkeypatch.setattr("edge_sam.camera.step_times.PAIRS", ())
    monkeypatch.setenv("EDGE_SAM_THREADS", "1")
    with edge_sam.Stream(video, "mobile-sam", [PROMPT], long_side=256, fps=1, every_frame=True) as stream:
        iterator = iter(stream)
        next(iterator)
        fastest = stream.summary()["runtime"]
        lost.add(fastest)
        with pytest.warns(RuntimeFallbackWarning, match=f"{fastest} failed while running"):
            assert [frame.objects[0].state for frame in iterator] == ["held"] * 7
        assert stream.summary()["runtime"] in set(AUTO) - lost
    assert threads == {1}


def test_masks_are_carried_between_encoded_frames(stream_of: Make, video: Path) -> None:
    with stream_of(video, every_frame=True, fps=10_000) as stream:
        seen = list(stream)
    assert [frame.encoded for frame in seen] == [True] + [False] * 7
    assert {frame.objects[0].state for frame in seen[1:]} == {"carried"}


def test_mistakes(stream_of: Make, video: Path, tmp_path: Path, frames: list[np.ndarray]) -> None:
    with pytest.raises(InputError, match="outside the 192×128 image"):
        list(stream_of(video, [edge_sam.Prompt(points=[(900, 9)])]))
    (tmp_path / "no.mp4").write_bytes(b"no video")
    (tmp_path / "empty").mkdir()
    for source, message in (
        (tmp_path / "absent.mp4", "no such video, folder or camera"),
        (tmp_path / "no.mp4", "cannot open"),
        (tmp_path / "empty", "has no pictures"),
        ("/dev/video77", "cameras: "),
        (77, "no camera 77"),
        ("http://127.0.0.1:9/nothing", "cannot open"),
    ):
        with pytest.raises(InputError, match=message):
            stream_of(source)
    if "GStreamer:                   NO" in cv2.getBuildInformation():
        with pytest.raises(InputError, match="built without GStreamer"):
            stream_of("videotestsrc ! appsink", pipeline=True)
    with pytest.raises(InputError, match="budget_ms is 0"):
        stream_of(video, budget_ms=0.0)
    with pytest.raises(InputError, match="long_side is 100;"):
        stream_of(video, long_side=100)
    with broadcast([[jpeg(frames[0]), HANG]]) as address, pytest.raises(InputError, match="is live"):
        stream_of(address, every_frame=True)
    folder = write_folder(tmp_path / "damaged", [])
    (folder / "0.png").write_bytes(b"nothing")
    with pytest.raises(InputError, match="no readable frame"):
        list(stream_of(folder))
    (folder / "0.jpg").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"0\.(jpg|png) and 0\.(jpg|png) in .* would share a frame name"):
        stream_of(folder)
    with stream_of(video) as stream:
        list(stream)
        with pytest.raises(InputError, match="once"):
            list(stream)
