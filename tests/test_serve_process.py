"""`edge-sam serve` as a process: start, stop, kill, restart."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from command_line import invoke
from served import COFFEE, CUP, running, upload

from edge_sam.serve.server import listen

SEARCH = {"points_per_side": 3, "long_side": 512, "square": False}


def test_kill_in_mid_upload_leaves_nothing_and_a_restart_serves_the_same_ids(tmp_path: Path) -> None:
    prompts = {"prompts": [{"box": CUP}], "multimask": False}
    with running("--long-side", "512", home=tmp_path) as server, httpx.Client(base_url=server.address) as client:
        id = upload(client)
        before = client.post(f"/images/{id}/masks", json=prompts).json()["results"]
        files = {path.name for path in (tmp_path / "served").iterdir()}
        parts = urlsplit(server.address)
        with socket.create_connection((parts.hostname or "", parts.port or 0)) as half:
            head = f"POST /images HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(COFFEE)}\r\n\r\n"
            half.sendall(head.encode() + COFFEE[:200_000])
            assert client.get("/health").status_code == 200  # It has read what came.
            os.kill(server.process.pid, signal.SIGKILL)
            server.process.wait()
    assert {path.name for path in (tmp_path / "served").iterdir()} == files == {f"{id}.npz", f"{id}.photograph"}
    with running("--long-side", "512", home=tmp_path) as server, httpx.Client(base_url=server.address) as client:
        assert client.post(f"/images/{id}/masks", json=prompts).json()["results"] == before
        assert client.post("/images", content=COFFEE).json()["cached"]


def test_sigterm_lets_requests_end(tmp_path: Path) -> None:
    options = ("--long-side", "512", "--log-format", "json", "--no-store")
    with running(*options, home=tmp_path) as server, httpx.Client(base_url=server.address, timeout=60) as client:
        id = upload(client)
        with client.stream("POST", f"/images/{id}/everything", json=SEARCH) as lines:
            found = lines.iter_lines()
            first = next(found)
            server.process.send_signal(signal.SIGTERM)
            last = [first, *found][-1]
        assert "summary" in json.loads(last)
        _, log = server.process.communicate(timeout=60)
        assert server.process.returncode == 0
    entries = [json.loads(line) for line in log.splitlines()]
    assert [(entry["method"], entry["path"], entry["status"]) for entry in entries] == [
        ("POST", "/images", 201),
        ("POST", f"/images/{id}/everything", 200),
    ]
    assert all(entry["request_id"] and entry["milliseconds"] >= 0 for entry in entries)
    assert not (tmp_path / "served").exists()


def test_an_address_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = invoke("serve", "--port", str(taken.getsockname()[1]), "--store", str(tmp_path))
    assert done.exit_code == 1
    assert done.stderr.startswith("error: cannot listen on 127.0.0.1 port ")
    assert len(done.stderr.splitlines()) == 1


def test_an_answer_is_sent_at_once() -> None:
    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()[:2]):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
