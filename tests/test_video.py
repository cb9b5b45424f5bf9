"""Video files with either library: what one of them cannot do is said, and both give the same frames."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from streams import read_video

import edge_sam
from edge_sam.annotate.sources import Reader, open_source
from edge_sam.camera.frames import StreamFrame
from edge_sam.camera.sinks import VideoSink
from edge_sam.camera.sources import FileSource
from edge_sam.errors import InputError
from edge_sam.video import SUFFIXES, VideoFile, create_video

SIZE = (96, 64)
CASES = ROOT.parent / "shared" / "data" / "cases"
_MATRICES = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}
"""Of an MP4's track: by how many degrees its frames are to be turned clockwise."""


@pytest.fixture(params=["pyav", "opencv"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which library reads and writes; without PyAV it is OpenCV."""
    if request.param == "pyav":
        pytest.importorskip("av")
    else:
        monkeypatch.setitem(sys.modules, "av", None)  # As where it is not installed.
    return str(request.param)


def quarters(level: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """BGR: red above, blue below, the right half darker; and a level of green that says which frame it is."""
    width, height = size
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2, :, 2] = picture[height // 2 :, :, 0] = 200
    picture[:, width // 2 :] //= 4
    picture[..., 1] = level
    return picture


def write(path: Path, count: int = 5, size: tuple[int, int] = SIZE, rate: float = 25) -> Path:
    writer = create_video(path, rate, size)
    for i in range(count):
        writer.write(quarters(20 * i, size))
    writer.close()
    return path


def read(path: Path) -> Iterator[np.ndarray]:
    video = VideoFile(path)
    while (frame := video.read()) is not None:
        yield frame
    video.close()


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("rate", [25, 29.97, 7.5, 120])
def test_what_is_written_is_read(suffix: str, rate: float, tmp_path: Path) -> None:
    path = write(tmp_path / f"café{suffix}", rate=rate)
    frames = list(read(path))
    assert len(frames) == 5
    for i, frame in enumerate(frames):
        assert np.abs(frame[..., ::-1].astype(int) - quarters(20 * i)).mean() < 12
    video = VideoFile(path)
    assert video.rate == pytest.approx(rate, rel=1e-3)
    assert (video.frame(3) == frames[3]).all()
    assert (video.frame(1) == frames[1]).all()
    assert video.count() == 5
    with pytest.raises(InputError, match="frame 5 cannot be read"):
        video.frame(5)
    assert (video.frame(0) == frames[0]).all()


@pytest.mark.skipif(sys.platform != "linux", reason="the file system takes UTF-8 names only")
def test_a_name_that_is_not_utf8(library: str, tmp_path: Path) -> None:
    """OpenCV ends the process where it is given one."""
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    if library == "pyav":
        assert len(list(read(write(path)))) == 5
        return
    with pytest.raises(InputError, match="OpenCV cannot open a name that is not UTF-8"):
        write(path)
    path.write_bytes(write(tmp_path / "x.mp4").read_bytes())
    for source in (path, os.fsdecode(b"http://127.0.0.1:9/caf\xe9")):
        with pytest.raises(InputError, match="OpenCV cannot open a name that is not UTF-8"):
            edge_sam.Stream(source)


def test_frames_come_when_the_file_says(library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As phones and screen recorders write them: the third of four frames is shown for a second."""
    av = pytest.importorskip("av") if library == "pyav" else None
    if av is None:
        monkeypatch.undo()
        av = pytest.importorskip("av")
    path = tmp_path / "uneven.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for i, shown in enumerate((0, 1, 2, 27)):
            frame = av.VideoFrame.from_ndarray(quarters(20 * i), format="bgr24")
            frame.pts = shown
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    if library == "opencv":
        monkeypatch.setitem(sys.modules, "av", None)
    source = FileSource(path)
    source.open()
    times = []
    while source.read() is not None:
        times.append(source.time)
    assert times == pytest.approx([0, 0.04, 0.08, 1.08], abs=1e-3)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("turned", _MATRICES)
def test_frames_are_upright(turned: int, tmp_path: Path) -> None:
    data = bytearray(write(tmp_path / "turned.mp4").read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in _MATRICES[turned])
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    (tmp_path / "turned.mp4").write_bytes(data)
    first = next(read(tmp_path / "turned.mp4"))
    expected = np.rot90(quarters(0)[..., ::-1], -turned // 90)
    assert first.shape == expected.shape
    assert np.abs(first.astype(int) - expected).mean() < 12


WRITE_ALL = """
import sys
if sys.argv[1] == "opencv":
    sys.modules["av"] = None
from pathlib import Path
import numpy as np
from edge_sam.video import SUFFIXES, create_video
from edge_sam.errors import InputError
noise = np.random.default_rng(0)
for number, (width, height) in enumerate([(4, 4), (2, 18), (6, 8), (14, 90), (33, 25), (321, 241), (1, 5), (96, 64)]):
    for suffix in SUFFIXES:
        try:
            writer = create_video(Path(f"{number}{suffix}"), 25, (width, height))
        except InputError as error:
            print(number, suffix, error)
            continue
        for _ in range(6):
            writer.write(noise.integers(0, 255, (height, width, 3), dtype=np.uint8))
        writer.close()
"""


def test_every_size_is_kept_or_said(library: str, tmp_path: Path) -> None:
    """In a process of its own, which is to survive, and whose libraries are to be silent."""
    command = [sys.executable, "-c", WRITE_ALL, library]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    sizes = {file.name: next(read(file)).shape[1::-1] for file in tmp_path.iterdir()}
    even = [(4, 4), (2, 18), (6, 8), (14, 90), (96, 64)]
    odd = [(33, 25), (321, 241)]
    if library == "pyav":
        assert done.stdout + done.stderr == ""
        assert sorted(sizes.values()) == sorted([*even, *odd, (1, 5)] * len(SUFFIXES))
    else:
        assert sorted(sizes.values()) == sorted([*even, (32, 24), (320, 240)] * len(SUFFIXES))
        told = done.stderr.splitlines()
        assert len(told) == len(odd) * len(SUFFIXES)
        assert "the video is 32×24 instead of 33×25, because OpenCV writes only even sizes" in told[0]
        assert done.stdout.count("OpenCV cannot write a video of 1×5") == len(SUFFIXES)


def test_what_opens_and_decodes_nothing_is_refused(library: str, tmp_path: Path) -> None:
    data = write(tmp_path / "known.avi").read_bytes()
    path = tmp_path / "unknown.avi"
    path.write_bytes(data.replace(b"MJPG", b"ZZZZ"))
    for opening in (open_source, lambda source: edge_sam.Stream(source)):
        with pytest.raises(InputError, match=r"opens as a video, but|cannot read it as a video") as failure:
            opening(str(path))
    without = "sys.modules['av'] = None;" if library == "opencv" else ""
    script = f"import sys; {without} from edge_sam.cli import main; main()"
    command = [sys.executable, "-c", script, "annotate", str(path), "--output", "out.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"error: {failure.value}\n"  # Not a line of FFmpeg's or OpenCV's.


def write_av1(path: str) -> None:
    import av

    with av.open(path, "w") as container:
        stream = container.add_stream("libsvtav1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 128, "yuv420p"
        for i in range(4):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(quarters(20 * i, (128, 128)), format="bgr24")))
        container.mux(stream.encode())


def test_av1_is_read_or_refused(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    if "libsvtav1" not in av.codecs_available:
        pytest.skip("this PyAV cannot write AV1")
    path = tmp_path / "av1.mkv"
    # In a process of its own: SVT-AV1 makes its caller's thread a real-time one, which then starves all others.
    script = "import sys, test_video; test_video.write_av1(sys.argv[1])"
    subprocess.run([sys.executable, "-c", script, str(path)], cwd=Path(__file__).parent, check=True)
    assert VideoFile(path).count() == 4
    if read_video(path):
        pytest.skip("this OpenCV knows AV1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "av", None)
        for opening in (open_source, lambda source: edge_sam.Stream(source)):
            with pytest.raises(InputError, match=r'none of its frames can be decoded \(AV01\).*"edge-sam\[video\]"'):
                opening(str(path))


def test_a_damaged_frame_costs_one_frame(tmp_path: Path, predictor: edge_sam.Predictor) -> None:
    pytest.importorskip("av")
    path = write(tmp_path / "damaged.avi", count=6)
    data = bytearray(path.read_bytes())
    starts = [i for i in range(len(data)) if data[i : i + 3] == b"\xff\xd8\xff"]
    assert len(starts) == 6
    data[starts[2] : starts[3] - 8] = bytes(starts[3] - 8 - starts[2])
    path.write_bytes(data)
    with edge_sam.Stream(path, predictor, every_frame=True) as stream:
        levels = [int(frame.image[..., 1].mean()) for frame in stream]
    assert levels == pytest.approx([0, 20, 60, 80, 100], abs=4)
    assert stream.summary()["corrupt"] == 1
    items = open_source(str(path))
    assert len(items) == 5
    assert int(Reader().read(items[2])[..., 1].mean()) == pytest.approx(60, abs=4)


@pytest.mark.usefixtures("library")
def test_a_video_goes_where_it_is_sent(tmp_path: Path) -> None:
    pipe, link, old = tmp_path / "pipe.mp4", tmp_path / "link.mp4", tmp_path / "old.mp4"
    os.mkfifo(pipe)
    link.symlink_to("old.mp4")
    old.touch(mode=0o600)
    for target in (pipe, link):
        sink = VideoSink(target, 25, in_time=False)
        sink.write(StreamFrame(quarters(0), [], 0, "", 0.0, False, 256, 0.0, {}))
        reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        sink.close()
        through = os.read(reading, 2**16)
        os.close(reading)
        assert (b"ftyp" in through) == (target == pipe)
    assert pipe.is_fifo()
    assert link.is_symlink()
    assert len(list(read(old))) == 1
    assert old.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"pipe.mp4", "link.mp4", "old.mp4"}


@pytest.mark.skipif(not CASES.is_dir(), reason="needs shared/data")
@pytest.mark.parametrize(
    ("name", "shape", "count"),
    [
        ("av1_video.mkv", (360, 640, 3), 125),
        ("nasa_13013_rotated.mp4", (480, 270, 3), 17),
        ("no_duration.webm", (720, 1280, 3), 74),
        ("testsrc2_odd_height_and_width_444.mp4", (241, 321, 3), 25),
    ],
)
def test_videos_that_broke_readers(name: str, shape: tuple[int, ...], count: int, library: str) -> None:
    if library == "opencv" and name == "av1_video.mkv":
        if read_video(CASES / name):
            pytest.skip("this OpenCV knows AV1")
        with pytest.raises(InputError, match="none of its frames can be decoded"):
            VideoFile(CASES / name)
        return
    video = VideoFile(CASES / name)
    first = video.read()
    assert first is not None
    assert first.shape == shape
    assert video.count() == count
