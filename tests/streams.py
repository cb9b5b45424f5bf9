"""Real sources for the tests of the camera: video files, folders, and an MJPEG server on the loopback."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np

CUP = (24, 6, 152, 124)
"""Box of the cup in the first frame of `scene`."""
HANG, GARBAGE = b"hang", b"\xff\xd8 not a picture \xff\xd9"


def scene(photograph: np.ndarray, count: int, width: int = 192, height: int = 128) -> list[np.ndarray]:
    """BGR frames of a camera that turns slowly past the photograph of a cup."""
    frames = []
    for i in range(count):
        moved = cv2.warpAffine(photograph, np.array([[1, 0, -2.0 * i], [0, 1, 0]]), photograph.shape[1::-1])
        frames.append(cv2.resize(moved, (width, height), interpolation=cv2.INTER_AREA)[..., ::-1])
    return frames


def write_video(path: Path, frames: Sequence[np.ndarray], rate: float = 25) -> Path:
    size = (frames[0].shape[1], frames[0].shape[0])
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), rate, size)
    for frame in frames:
        writer.write(np.ascontiguousarray(frame))
    writer.release()
    return path


def read_video(path: Path) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (answer := capture.read())[0]:
        frames.append(np.asarray(answer[1]))
    return frames


def write_folder(folder: Path, frames: Sequence[np.ndarray]) -> Path:
    folder.mkdir()
    for i, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{i:05d}.jpg"), np.ascontiguousarray(frame))
    return folder


def jpeg(frame: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".jpg", np.ascontiguousarray(frame))[1])


@contextlib.contextmanager
def broadcast(connections: Sequence[Sequence[bytes]], rate: float = 100) -> Iterator[str]:
    """Serve MJPEG: each connection gets the next list of pictures and is then cut; after the last there is nothing.

    `HANG` in a list leaves the connection open and silent.
    """
    left, closing = list(connections), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not left:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            with contextlib.suppress(OSError):  # The other side may have had enough.
                for picture in left.pop(0):
                    if picture == HANG:
                        closing.wait(30)
                        return
                    header = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                    self.wfile.write(header.encode() + picture + b"\r\n")
                    time.sleep(1 / rate)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/camera"
    finally:
        closing.set()
        server.shutdown()
        server.server_close()
