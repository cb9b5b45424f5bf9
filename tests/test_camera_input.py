"""What a stream makes of bad frames, prompts, names and addresses: none of them ends it, or is taken for granted."""

from __future__ import annotations

import json
import logging
import os
import re
import threading
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streams import CUP, scene
from test_cli import edge_sam as command
from test_cli import refused

import edge_sam
from edge_sam.camera import PushedFrames, StreamFrame
from edge_sam.camera.commands import MAX_LINE, MAX_PROMPTS, lines_of, listen, parse_line
from edge_sam.camera.sinks import MaskSink
from edge_sam.errors import InputError
from edge_sam.files.addresses import hide_passwords

PROMPT = edge_sam.Prompt(box=CUP)
NO_PICTURES: tuple[Any, ...] = (
    np.zeros((0, 192, 3), np.uint8),
    np.zeros((128, 0, 3), np.uint8),
    np.zeros((0, 0, 3), np.uint8),
    np.zeros((128, 192), np.uint8),
    np.zeros((128, 192, 4), np.uint8),
    np.zeros((128, 192, 3)),
    [[1, 2, 3]],
    "frame.png",
    None,
)


@pytest.fixture(scope="module")
def frames(coffee: np.ndarray) -> list[np.ndarray]:
    return [np.ascontiguousarray(frame[..., ::-1]) for frame in scene(coffee, 3)]


class Given:
    """A source of the user's own, which gives what it was given."""

    live = False
    rate: float | None = None

    def __init__(self, images: Sequence[Any]) -> None:
        self._images = images

    def open(self) -> None:
        self._left = iter(self._images)

    def read(self) -> Any:
        image = next(self._left, self)
        if isinstance(image, Exception):
            raise image
        return None if image is self else (image, None)

    def close(self) -> None:
        pass


def test_one_bad_frame_costs_one_frame(
    frames: list[np.ndarray], predictor: edge_sam.Predictor, caplog: pytest.LogCaptureFixture
) -> None:
    bad = [*NO_PICTURES, InputError("cut off in the middle")]
    source = Given([*bad[:3], frames[0], *bad[3:], frames[1], bad[0], frames[2]])
    with edge_sam.Stream(source, predictor, [PROMPT], long_side=256, every_frame=True) as stream:
        seen = list(stream)
    assert [frame.objects[0].state for frame in seen] == ["held"] * 3
    assert [frame.index for frame in seen] == [0, 1, 2]
    assert stream.summary()["corrupt"] == len(bad) + 1
    assert "11 corrupt" in str(stream)
    assert "skipping frame 0, which is corrupt: the image has no pixels: its shape is (0, 192, 3)" in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3  # One for each row of bad frames.


def test_a_pushed_frame_that_is_none_is_refused_and_counted(
    frames: list[np.ndarray], predictor: edge_sam.Predictor, caplog: pytest.LogCaptureFixture
) -> None:
    source = PushedFrames()
    with edge_sam.Stream(source, predictor, [PROMPT], long_side=256) as stream:
        source.push(frames[0], "good")
        for bad in NO_PICTURES:
            with pytest.raises(InputError):
                source.push(bad)
        with pytest.raises(InputError, match="a frame's name must be a str, not int"):
            source.push(frames[0], 7)  # type: ignore[arg-type]
        source.end()
        (frame,) = stream
    assert frame.objects[0].state == "held"
    assert stream.summary()["corrupt"] == len(NO_PICTURES) + 1
    assert "skipping a corrupt frame: the image has no pixels" in caplog.text
    assert len(caplog.records) == 1


@pytest.mark.parametrize("wrong", [5, None, "box", [(1, 2)], [CUP], [PROMPT, None], {"box": CUP}, iter([PROMPT])])
def test_prompts_of_another_type(
    wrong: Any, frames: list[np.ndarray], predictor: edge_sam.Predictor, caplog: pytest.LogCaptureFixture
) -> None:
    embedding = predictor.encode(frames[0], long_side=256)
    expected = "reads no text" if wrong == "box" else r"expected an edge_sam\.Prompt"
    with pytest.raises(InputError, match=expected):
        predictor.predict(embedding, wrong)
    with pytest.raises(InputError, match=expected):
        edge_sam.Stream(Given(frames), predictor, wrong)
    with edge_sam.Stream(Given(frames), predictor, [PROMPT], long_side=256, every_frame=True) as stream:
        with pytest.raises(InputError, match=expected):
            stream.prompt(wrong)
        assert next(iter(stream)).objects[0].state == "held"
    if wrong is not None:  # A callable's None means to go on as before.
        with edge_sam.Stream(Given(frames), predictor, lambda _: wrong, long_side=256, every_frame=True) as stream:
            assert [frame.objects for frame in stream] == [[], [], []]
        assert re.search(f"skipping the new prompt: .*{expected}", caplog.text)


def test_one_prompt_will_do(frames: list[np.ndarray], predictor: edge_sam.Predictor) -> None:
    with edge_sam.Stream(Given(frames), predictor, PROMPT, long_side=256, every_frame=True) as stream:
        assert [len(frame.objects) for frame in stream] == [1, 1, 1]


NAMES = ["../x", "..", ".hidden", "a/b", "a%2Fb", "a\\b", "a\nb\x1b", "12 34 camera/left", "café 100 %"]


def test_masks_stay_in_their_folder(tmp_path: Path, frames: list[np.ndarray]) -> None:
    sink = MaskSink(tmp_path / "masks")
    names = [*NAMES, str(tmp_path / "outside")]
    for name in names:
        sink.write(StreamFrame(frames[0], [], 0, name, 0.0, False, 256, 0.0, {}))
    written = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png"))
    assert len(written) == len(names)
    assert "masks/%2E.%2Fx.png" in written
    assert "masks/12 34 camera%2Fleft.png" in written
    assert all(name.count("/") == 1 and "/." not in name for name in written)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is not a folder"):
        MaskSink(tmp_path / "file")


SECRETS = [
    ("rtsp://user:secret@cam:554/1", "rtsp://user:***@cam:554/1"),
    ("rtsp://user:secr@t/w:rd?x@cam/1", "rtsp://user:***@cam/1"),
    ("rtsp://user:my secret@cam/1", "rtsp://user:***@cam/1"),
    ("RTSPS://:secret@[fe80::1]/1", "RTSPS://:***@[fe80::1]/1"),
    ("https://secret@host/x", "https://***@host/x"),
    ("http://cam/v?user=admin&Password=secret&channel=1", "http://cam/v?user=admin&Password=***&channel=1"),
    ("http://cam/v?access_token=secret#part", "http://cam/v?access_token=***"),
    ("srt://host:90?passphrase=secret&mode=caller", "srt://host:90?passphrase=***&mode=caller"),
    ("user:secret@10.0.0.5/stream", "user:***@10.0.0.5/stream"),
    ("rtspsrc location=rtsp://u:secret@cam/1 ! appsink", "rtspsrc location=rtsp://u:***@cam/1 ! appsink"),
    (
        'rtspsrc user-id=u user-pw="my secret" location=x ! appsink',
        "rtspsrc user-id=u user-pw=*** location=x ! appsink",
    ),
    ("rtsp://cam:554/1?channel=1", "rtsp://cam:554/1?channel=1"),
    ("v4l2src device=/dev/video0 ! appsink", "v4l2src device=/dev/video0 ! appsink"),
]


@pytest.mark.parametrize(("given", "shown"), SECRETS)
def test_passwords_are_hidden(given: str, shown: str, predictor: edge_sam.Predictor) -> None:
    assert hide_passwords(given) == shown
    if not given.startswith(("rtsp://cam", "v4l2src")):  # Nothing is asked that is not on this machine.
        local = (
            given.replace("@cam:554", "@127.0.0.1:9").replace("@cam", "@127.0.0.1:9").replace("//cam", "//127.0.0.1:9")
        )
        local = local.replace("host:90", "127.0.0.1:9").replace("@host", "@127.0.0.1:9").replace("fe80::1", "::1")
        with pytest.raises(InputError) as failure:
            edge_sam.Stream(local, predictor, timeout=0.5)
        assert "secret" not in str(failure.value)


def test_a_password_is_not_in_the_summary(predictor: edge_sam.Predictor, coffee: np.ndarray, tmp_path: Path) -> None:
    from streams import broadcast, jpeg

    pictures = [jpeg(frame) for frame in scene(coffee, 2)]
    with broadcast([pictures, pictures]) as address:
        secret = address.replace("http://", "http://user:secret@") + "?token=secret"
        shown = address.replace("http://", "http://user:***@") + "?token=***"
        with edge_sam.Stream(secret, predictor, patience=0.1) as stream:
            next(iter(stream))
        assert stream.summary()["source"] == shown
        run = command(
            "-v", "camera", secret, "--point", "9,9", "--long-side", "256", "--patience", "0.1", "--json", cwd=tmp_path
        )
    assert json.loads(run.stdout.splitlines()[-1])["summary"]["source"] == shown
    assert "secret" not in run.stdout + run.stderr
    told = refused(command("camera", "rtsp://user:secret@127.0.0.1:9/1", "--point", "1,1", cwd=tmp_path))
    assert "cannot open rtsp://user:***@127.0.0.1:9/1 as a camera or stream" in told


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"prom\xffpts": []}', "codec can't decode byte 0xff"),
        (b'{"prompts": [{"\xff": 1}]}', "codec can't decode"),
        (b"\xff", "JSON is malformed"),
        ('{"prompts": [{"\udce9": 1}]}', "surrogates not allowed"),
        (b"[" * 200_000, "Expected `object`, got `array`"),
        (b'{"prompts": ' + b"[" * 200_000, "Expected `object`, got `array`"),
        (b'{"prompts": [{"points": [[1e999, 2]]}]}', "out of range"),
        (b'{"prompts": [{"points": [[1, 2]], "labels": [99999999999999999999999]}]}', "not real numbers"),
        (
            b'{"prompts": [' + b",".join([b'{"box": [0, 0, 5, 5]}'] * (MAX_PROMPTS + 1)) + b"]}",
            "the line has 1001 prompts; give at most 1000",
        ),
        (b'{"prompts": []' + b" " * MAX_LINE + b"}", "longer than 1048576 bytes"),
    ],
)
def test_no_line_ends_the_listening(line: bytes | str, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    given: list[int] = []
    listen([line, b'{"prompts": [{"box": [0, 0, 5, 5]}]}'], lambda prompts: given.append(len(prompts)))
    assert given == [1]
    (record,) = caplog.records
    assert "skipping a line of standard input" in record.getMessage()
    assert reason in record.getMessage()
    with pytest.raises(InputError):
        parse_line(line)


def test_a_long_line_is_not_kept() -> None:
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as file:
            for part in (b'{"prom', b'pts": []}\n\n', b"x" * (18 * 2**20), b"\nlast\nwithout end"):
                file.write(part)
                file.flush()

    threading.Thread(target=write).start()
    with FileIO(reading) as file:
        lines = list(lines_of(file))
    assert [lines[0], lines[1], *lines[3:]] == [b'{"prompts": []}', b"", b"last", b"without end"]
    assert MAX_LINE < len(lines[2]) < 2 * MAX_LINE
