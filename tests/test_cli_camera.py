"""`edge-sam camera` as a user meets it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from command_line import run_here
from pycocotools import mask as coco
from streams import CUP, HANG, broadcast, jpeg, read_video, scene, write_video
from test_cli import edge_sam, refused

from edge_sam.camera.commands import listen, parse_line
from edge_sam.errors import InputError

BOX = ("--box", ",".join(map(str, CUP)))
MAIN = "from edge_sam.cli import main; main()"
QUICK = ("--long-side", "256")


@pytest.fixture(scope="module")
def frames(coffee: np.ndarray) -> list[np.ndarray]:
    return scene(coffee, 6)


@pytest.fixture(scope="module")
def video(frames: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "cup.mp4", frames)


def test_every_sink(video: Path, tmp_path: Path) -> None:
    sinks = ("--video", "out.mp4", "--masks", "masks", "--json")
    run = edge_sam("camera", video, *BOX, *QUICK, "--every-frame", *sinks, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    *lines, last = [json.loads(line) for line in run.stdout.splitlines()]
    assert [line["frame"] for line in lines] == list(range(6))
    assert last["summary"]["frames"] == 6
    assert last["summary"]["ended"] == "end of source"
    for line in lines:
        (found,) = line["objects"]
        mask = coco.decode(found["rle"]).astype(bool)
        assert mask.shape == (line["height"], line["width"]) == (128, 192)
        assert found["state"] == "held"
        rows, columns = np.nonzero(mask)
        assert found["box"] == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        picture = cv2.imread(str(tmp_path / "masks" / f"{line['name']}.png"), cv2.IMREAD_UNCHANGED)
        assert (np.asarray(picture) == mask * np.uint8(255)).all()
    assert len(read_video(tmp_path / "out.mp4")) == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["masks", "out.mp4"]


def test_talks_to_people(video: Path, tmp_path: Path) -> None:
    mask = np.zeros((128, 192), np.uint8)
    cv2.ellipse(mask, (88, 65), (62, 56), 0, 0, 360, 1, -1)
    mask[:20, 170:] = 2
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    run = edge_sam("camera", video, "--mask-file", "mask.png", *QUICK, "--every-frame", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "6 frames in" in run.stdout
    assert "objects: held" in run.stdout
    assert "long side 256; end of source" in run.stdout


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_a_signal_ends_in_order(number: int, code: int, frames: list[np.ndarray], tmp_path: Path) -> None:
    with broadcast([[*(jpeg(frame) for frame in frames), HANG]]) as address:
        arguments = ["camera", address, *BOX, *QUICK, "--video", "out.mp4", "--json"]
        command = [sys.executable, "-c", MAIN, *arguments]
        with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
            assert run.stdout is not None
            assert "objects" in run.stdout.readline()
            run.send_signal(number)
            rest, errors = run.communicate(timeout=60)
    assert run.returncode == code, errors
    assert errors == ""
    assert json.loads(rest.splitlines()[-1])["summary"]["ended"] == "stopped"
    assert len(read_video(tmp_path / "out.mp4")) >= 1
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_under_standard_output(video: Path, tmp_path: Path) -> None:
    arguments = ["camera", str(video), *BOX, *QUICK, "--every-frame", "--video", "out.mp4", "--json"]
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-c", MAIN, *arguments]
        run = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert run.returncode == 1
    assert run.stderr.startswith("error: No space left on device")
    assert run.stderr.count("\n") == 1
    assert len(read_video(tmp_path / "out.mp4")) >= 1


def test_a_line_without_room_is_taken_back(video: Path, tmp_path: Path) -> None:
    """A limit on the file's size stands in for the disk: the write that reaches it is cut short, the next one fails."""
    resource = pytest.importorskip("resource")
    command = [sys.executable, "-c", MAIN, "camera", str(video), *BOX, *QUICK, "--every-frame", "--json"]

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    with (tmp_path / "lines.jsonl").open("w") as file:
        run = subprocess.run(command, cwd=tmp_path, stdout=file, stderr=subprocess.PIPE, text=True, preexec_fn=limited)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].startswith("error: File too large")
    lines = (tmp_path / "lines.jsonl").read_text().splitlines()
    assert [json.loads(line)["frame"] for line in lines] == list(range(len(lines)))
    assert lines


def test_prompts_from_standard_input(frames: list[np.ndarray], tmp_path: Path) -> None:
    lines = ["nonsense", json.dumps({"prompts": [{"box": list(CUP)}]})]
    pictures = [jpeg(frame) for frame in frames * 6]
    with broadcast([pictures], rate=20) as address:
        arguments = ("camera", address, "--stdin", *QUICK, "--json", "--patience", "0.2")
        run = edge_sam(*arguments, cwd=tmp_path, stdin="\n".join(lines).encode())
    assert run.returncode == 1
    assert "skipping a line of standard input: not a line of prompts" in run.stderr
    assert "the source was lost and did not come back within 0.2 s" in run.stderr
    assert len(json.loads(run.stdout.splitlines()[-2])["objects"]) == 1


def test_standard_input_may_stay_open(video: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", MAIN, "camera", str(video), *BOX, *QUICK, "--stdin", "--every-frame"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.wait(60) == 0
        assert run.stderr is not None
        assert run.stderr.read() == ""


def test_lines_of_prompts() -> None:
    given: list[int] = []
    lines = [
        '{"prompts": []}',
        "",
        '{"prompts": [{"points": [[1, 2], [3, 4]], "labels": [1, 0]}, {"box": [0, 0, 5, 5]}]}',
    ]
    listen([*lines, '{"prompts": [{}]}'], lambda prompts: given.append(len(prompts)))
    assert given == [0, 2]
    damaged = (b'{"\xff": 1}', "[" * 100_000)
    for wrong in ('{"prompt": []}', "[]", '{"prompts": [{"box": [1, 2]}]}', '{"prompts": [{"mask": 3}]}', *damaged):
        with pytest.raises(InputError, match="not a line of prompts"):
            parse_line(wrong)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("absent.mp4", *BOX), "no such video, folder or camera: absent.mp4"),
        (("VIDEO",), "nothing to track; give --point X,Y"),
        (("VIDEO", "--point", "900,5"), "point (900, 5) lies outside the 192×128 image"),
        (("VIDEO", *BOX, "--box", "1,1,5,5", "--point", "3,3"), "points cannot be combined with several boxes"),
        (("VIDEO", "--mask-file", "absent.png"), "cannot read mask absent.png"),
        (("VIDEO", *BOX, "--long-side", "100"), "long_side is 100; it must be a multiple of 16"),
        (("VIDEO", *BOX, "--fps", "-3"), "fps is -3; it must be more than 0"),
        (("VIDEO", *BOX, "--video", "out.gif"), "cannot write a video out.gif; known: .mp4"),
        (("VIDEO", *BOX, "--video", "VIDEO"), "would overwrite the source"),
        (("absent.mp4", *BOX, "--video", "VIDEO/x.mp4"), "cup.mp4 is not a folder"),
        (("absent.mp4", *BOX, "--masks", "VIDEO"), "cup.mp4 is not a folder"),
        (("77", *BOX), "no camera 77"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments: tuple[str, ...], message: str, video: Path, tmp_path: Path) -> None:
    given = [part.replace("VIDEO", str(video)) for part in arguments]
    assert message in refused(run_here("camera", *given, cwd=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_mask_of_another_size_is_refused(video: Path, tmp_path: Path) -> None:
    for name, size in (("small.png", (64, 96)), ("large.png", (128, 192))):
        cv2.imwrite(str(tmp_path / name), np.full(size, 255, np.uint8))
    told = refused(run_here("camera", video, "--mask-file", "small.png", *QUICK, cwd=tmp_path))
    assert "the prompts are for frames of 96×64 pixels, but the first frame has 192×128" in told
    both = ("--mask-file", "large.png", "--mask-file", "small.png")
    told = refused(run_here("camera", video, *both, *QUICK, cwd=tmp_path))
    assert "mask small.png is 96×64, the one before is 192×128" in told


def test_standard_input_may_be_closed(video: Path, tmp_path: Path) -> None:
    run = edge_sam("camera", video, "--stdin", *QUICK, cwd=tmp_path, before=lambda: os.close(0))
    assert "--stdin: standard input is closed" in refused(run)


@pytest.mark.skipif(sys.platform != "linux", reason="sets the size of a pipe")
def test_a_second_signal_ends_although_nobody_reads(video: Path, tmp_path: Path) -> None:
    import fcntl

    boxes = BOX * 8  # A line of so many objects is more than the pipe holds.
    command = [sys.executable, "-c", MAIN, "camera", str(video), *boxes, *QUICK, "--every-frame", "--json"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, bufsize=0) as run:
        assert run.stdout is not None
        fcntl.fcntl(run.stdout, fcntl.F_SETPIPE_SZ, 4096)
        run.stdout.read(1)
        run.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            run.wait(2)  # What was segmented may still be read.
        run.send_signal(signal.SIGINT)
        assert run.wait(10) == 128 + signal.SIGINT


def test_without_a_window(video: Path, tmp_path: Path) -> None:
    if "GUI:                           NONE" not in cv2.getBuildInformation():
        pytest.skip("this OpenCV has windows")
    assert "--show: this OpenCV is built without windows" in refused(
        edge_sam("camera", video, *BOX, "--show", cwd=tmp_path)
    )
