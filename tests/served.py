"""A server for tests: in this process for most, as a process of its own for what needs one."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import select
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conftest import PHOTOGRAPHS
from starlette.testclient import TestClient

from edge_sam.imaging.view import View
from edge_sam.predictor import Predictor
from edge_sam.serve.access import Access
from edge_sam.serve.app import make_app
from edge_sam.serve.images import ImageStore
from edge_sam.serve.segmenter import Segmenter
from edge_sam.serve.settings import ServeSettings
from edge_sam.text import TextSegmenter

COFFEE = (PHOTOGRAPHS / "coffee.png").read_bytes()
COFFEE_BASE64 = base64.b64encode(COFFEE).decode()
CUP = [76, 18, 478, 390]
FAST = {"long_side": 512}
DEEP = "[" * 100_000
"""JSON that nests deeper than a reader should follow."""
SERVER = "http://127.0.0.1:8765"


@contextlib.contextmanager
def client_of(
    predictor: Predictor, store: Path | None = None, text: TextSegmenter | None = None, **settings: Any
) -> Iterator[TestClient]:
    """Serve in this process, and yield a client."""
    given = ServeSettings(**settings)
    kept = None if store is None else ImageStore(store, given.store_mb * 10**6)
    segmenter = Segmenter(predictor, given, View(long_side=512), kept, text)
    with TestClient(make_app(segmenter, Access(given)), base_url=SERVER) as client:
        yield client
    segmenter.close()


def upload(client: Any, data: bytes = COFFEE, **query: Any) -> str:
    """Upload a photograph; return its id."""
    answer = client.post("/images", content=data, params=query)
    assert answer.status_code in (200, 201), answer.text
    return str(answer.json()["id"])


def check_error(answer: Any, status: int) -> None:
    """Assert that an answer is an error in our form: one line, nothing of the inside."""
    assert answer.status_code == status, (answer.status_code, answer.text)
    body = answer.json()
    assert set(body) == {"error", "request_id"}
    message = body["error"]["message"]
    assert message
    assert "\n" not in message
    assert len(message) < 500
    assert "Traceback" not in answer.text
    assert "/edge_sam/" not in answer.text


@dataclass(frozen=True)
class Served:
    """A running `edge-sam serve`."""

    process: subprocess.Popen[str]
    address: str


@contextlib.contextmanager
def running(*arguments: str, home: Path, cwd: Path | None = None) -> Iterator[Served]:
    """Run `edge-sam serve` on a free port; end it if it is still there."""
    command = [sys.executable, "-m", "edge_sam", "serve", *arguments, "--port", "0"]
    environment = {**os.environ, "EDGE_SAM_HOME": str(home)}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, bufsize=1, cwd=cwd
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        select.select([process.stdout], [], [], 60)
        line = process.stdout.readline()
        found = re.fullmatch(r"listening on (http://\S+)\n", line)
        assert found, (line, process.poll(), "" if process.poll() is None else process.stderr.read())
        yield Served(process, found[1])
    finally:
        process.kill()
        process.communicate()
