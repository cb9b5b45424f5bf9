"""Videos, addresses and annotations of unknown makers: they lead to no other file, port or pipeline."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
import scenes
from streams import scene, write_folder, write_video

import edge_sam
import edge_sam.video
from edge_sam.camera.sources import FileSource, FolderSource, find_source
from edge_sam.errors import InputError
from edge_sam.evaluation.datasets import open_dataset
from edge_sam.video import VideoFile
from edge_sam.video.ffmpeg import opencv_options


@pytest.fixture(scope="module")
def frames(coffee: np.ndarray) -> list[np.ndarray]:
    return scene(coffee, 3)


@pytest.fixture(params=["pyav", "opencv"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name: str = request.param
    if name == "pyav":
        pytest.importorskip("av")
    monkeypatch.setattr(edge_sam.video, "_have_pyav", lambda: name == "pyav")
    return name


@contextlib.contextmanager
def asked_on(pages: dict[str, bytes]) -> Iterator[tuple[str, list[str]]]:
    """Serve pages on the loopback; yields the address and the paths that were asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            data = pages.get(self.path, b"")
            self.send_response(200 if data else 404)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def playlist(*entries: str) -> bytes:
    head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n"
    return (head + "".join(f"#EXTINF:1,\n{entry}\n" for entry in entries) + "#EXT-X-ENDLIST\n").encode()


@pytest.mark.usefixtures("library")
def test_a_video_that_is_a_list_of_files(frames: list[np.ndarray], tmp_path: Path) -> None:
    """3.4 MB of text that count the frames of one video for ever, and playlists that ask a server."""
    real = write_video(tmp_path / "real.mp4", frames)
    disguised = tmp_path / "walk.mp4"
    with asked_on({"/a.mp4": real.read_bytes()}) as (address, asked):
        for content in (
            b"ffconcat version 1.0\n" + b"file real.mp4\n" * 240_000,
            playlist(str(real)),
            playlist(f"{address}/a.mp4"),
            f'<?xml version="1.0"?><MPD><Period><BaseURL>{address}/a.mp4</BaseURL></Period></MPD>'.encode(),
        ):
            disguised.write_bytes(content)
            with pytest.raises(InputError, match="cannot open"):
                VideoFile(disguised)
        assert asked == []
    assert VideoFile(real).count() == 3


def test_a_server_leads_to_no_file_and_no_other_port(frames: list[np.ndarray], tmp_path: Path) -> None:
    real = write_video(tmp_path / "real.mp4", frames)
    with asked_on({"/other.ts": real.read_bytes()}) as (other, asked):
        pages = {
            "/camera": playlist(f"{other}/other.ts"),
            "/concat": f"ffconcat version 1.0\nfile {other}/other.ts\n".encode(),
            "/list.m3u8": playlist(f"file://{real}", str(real)),
            "/a.mp4": real.read_bytes(),
        }
        with asked_on(pages) as (address, _):
            for page in ("camera", "concat", "list.m3u8"):
                with pytest.raises(InputError, match="cannot open"):
                    find_source(f"{address}/{page}", 5).open()
            source = find_source(f"{address}/a.mp4", 5)
            source.open()
            assert source.read() is not None
            source.close()
        assert asked == []


def test_options_of_the_user_win(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
    monkeypatch.setenv(name, "rtsp_transport;udp|timeout;9")
    with opencv_options({"rtsp_transport": "tcp", "protocol_whitelist": "file"}):
        assert os.environ[name] == "rtsp_transport;udp|timeout;9|protocol_whitelist;file"
    assert os.environ[name] == "rtsp_transport;udp|timeout;9"
    monkeypatch.delenv(name)
    with opencv_options({"protocol_whitelist": "file"}):
        pass
    assert name not in os.environ


def test_what_exists_is_never_a_pipeline(frames: list[np.ndarray], tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a ! filesink location=b", frames)
    assert isinstance(find_source(folder, 5), FolderSource)
    assert isinstance(find_source(str(folder), 5), FolderSource)
    video = write_video(tmp_path / "walk ! x.mp4", frames)
    assert isinstance(find_source(str(video), 5), FileSource)
    with pytest.raises(InputError, match=r"no such video.*--pipeline"):
        find_source(f"fakesrc ! filesink location={tmp_path / 'written'}", 5)
    assert not (tmp_path / "written").exists()
    if "GStreamer:                   NO" in cv2.getBuildInformation():
        with pytest.raises(InputError, match="built without GStreamer"):
            edge_sam.Stream("fakesrc ! appsink", pipeline=True)


@pytest.mark.parametrize("scheme", ["file", "concat", "subfile", "data", "gopher", "pipe"])
def test_addresses_of_other_kinds(scheme: str) -> None:
    with pytest.raises(InputError, match=f"addresses with {scheme}:// are not read, only http, "):
        find_source(f"{scheme}:///etc/hostname", 5)


@pytest.mark.parametrize(
    "name", ["/etc/hostname", "../cup.png", "a/../../cup.png", "C:\\cup.png", "..\\cup.png", "\\\\host\\cup.png"]
)
def test_annotations_name_no_file_elsewhere(name: str, tmp_path: Path) -> None:
    images = [{"id": 7, "file_name": name, "height": scenes.SIZE[0], "width": scenes.SIZE[1]}]
    root = scenes.coco_instances(tmp_path / "data", images=images)
    with pytest.raises(InputError, match="leads out of the images' folder"):
        open_dataset(root)
