"""What a request may cost the server, whatever it holds."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from served import COFFEE, COFFEE_BASE64, CUP, client_of, upload
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send
from test_serve_adapters import BRUSH, label_studio

from edge_sam.files.serialization import decode_json
from edge_sam.imaging.view import View
from edge_sam.predictor import Predictor
from edge_sam.prompts import Prompt
from edge_sam.serve import work_queue
from edge_sam.serve.access import Access
from edge_sam.serve.adapters import x_anylabeling
from edge_sam.serve.bodies import read_body
from edge_sam.serve.endpoints.everything import EverythingBody, everything
from edge_sam.serve.errors import HttpError
from edge_sam.serve.messages import Query
from edge_sam.serve.metrics import Metrics
from edge_sam.serve.middleware import Entrance
from edge_sam.serve.operations import Call
from edge_sam.serve.segmenter import Segmenter
from edge_sam.serve.server import _Connection
from edge_sam.serve.settings import Limits, ServeSettings
from edge_sam.serve.work_queue import WorkQueue

DATA_URI = f"data:image/png;base64,{COFFEE_BASE64}"
MANY_LISTS = "[" + "[]," * 100_000 + "[]]"


@pytest.fixture(scope="module")
def client(predictor: Predictor) -> Iterator[TestClient]:
    with client_of(predictor, max_prompts=4) as made:
        yield made


@pytest.mark.parametrize("x", ["9" * 1000, [9], {"x": 9}, None, True])
def test_a_place_that_is_no_number_is_refused(client: TestClient, x: Any) -> None:
    """A text times a width would be the text so many times."""
    mark = {"type": "keypointlabels", "value": {"x": x, "y": 50}}
    answer = client.post("/predict", json=label_studio(BRUSH, DATA_URI, mark))
    assert answer.status_code == 422
    assert "a mark is not as Label Studio sends it" in answer.json()["error"]["message"]


def test_marks_of_other_tools_are_not_read(client: TestClient) -> None:
    brush = {"type": "brushlabels", "value": {"format": "rle", "rle": [1, 2], "brushlabels": ["Cup"]}}
    point = {"type": "keypointlabels", "value": {"x": 50, "y": 30, "keypointlabels": ["Spoon"]}}
    answer = client.post("/predict", json=label_studio(BRUSH, DATA_URI, point, brush))
    (region,) = answer.json()["results"][0]["result"]
    assert region["value"]["brushlabels"] == ["Spoon"]


def test_rectangles_beyond_the_limit_make_no_prompts(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Prompt] = []

    class Counted(Prompt):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            made.append(self)

    monkeypatch.setattr(x_anylabeling, "Prompt", Counted)
    (name,) = client.get("/v1/models").json()["data"]
    marks = [{"type": "point", "data": [300, 120]}] * 100 + [{"type": "rectangle", "data": [76, 18, 478, 390]}] * 1000
    answer = client.post("/v1/predict", json={"model": name, "image": DATA_URI, "params": {"marks": marks}})
    assert answer.json()["error"]["code"] == "too_many_prompts"
    assert len(made) < 10


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/webhook", f'{{"action": {MANY_LISTS}}}', 201),
        ("/setup", f'{{"project": {MANY_LISTS}}}', 200),
        ("/api/generate", f'{{"model": "sam", "image_embedding": {MANY_LISTS}}}', 400),
        ("/predict", f'{{"tasks": [{{"data": {{"photo": {MANY_LISTS}}}}}]}}', 200),
    ],
)
def test_what_is_never_read_becomes_no_objects(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, path: str, body: str, status: int
) -> None:
    decoded: list[Any] = []

    def spy(data: bytes, kind: Any) -> Any:
        decoded.append(decode_json(data, kind))
        return decoded[-1]

    monkeypatch.setattr("edge_sam.serve.operations.decode_json", spy)
    assert client.post(path, content=body).status_code == status
    assert len(repr(decoded)) < 1000


def test_a_search_is_measured_as_a_whole() -> None:
    """Its many short steps together are what the next client waits for."""

    async def scenario() -> int:
        queue = WorkQueue("everything", 1, 60.0)
        for _ in range(20):
            with queue.admit() as place:
                for _ in range(3):
                    await place.run(partial(clock.sleep, 1.0))
        with queue.admit(), pytest.raises(HttpError) as full, queue.admit():
            pass
        queue.close()
        return int(full.value.headers["Retry-After"])

    clock = Clock()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(work_queue, "time", clock)
        assert asyncio.run(scenario()) == 3


class Clock:
    """Time that passes only when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def perf_counter(self) -> float:
        return self.now

    monotonic = perf_counter


class SilentLabelStudio(BaseHTTPRequestHandler):
    """A Label Studio that takes requests and does not answer before it is told to."""

    free = threading.Event()
    asked = threading.Semaphore(0)

    def do_GET(self) -> None:
        self.asked.release()
        self.free.wait(60)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_clicks_do_not_wait_for_downloads(predictor: Predictor, tmp_path: Path) -> None:
    studio = SilentLabelStudio
    with ThreadingHTTPServer(("127.0.0.1", 0), studio) as server, ThreadPoolExecutor(7) as clients:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        with client_of(predictor, tmp_path, label_studio=address) as client:
            id = upload(client)
            mark = {"type": "keypointlabels", "value": {"x": 50, "y": 50}}
            body = label_studio(BRUSH, "/data/cup.png", mark)
            waiting = [clients.submit(client.post, "/predict", json=body) for _ in range(7)]
            for _ in waiting:
                assert studio.asked.acquire(timeout=60)
            assert client.post(f"/images/{id}/masks", json={"prompts": [{"box": CUP}]}).status_code == 200
            assert client.get("/images/0123456789abcdef0123456789abcdef/embedding").status_code == 404
            assert not any(each.done() for each in waiting)
            studio.free.set()
            assert {each.result().status_code for each in waiting} == {503}
        server.shutdown()


def test_a_connection_without_a_header_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_sam.serve.server._HEADER_SECONDS", 0.2)
    opened = socket.create_server(("127.0.0.1", 0))
    app = Starlette(routes=[Route("/", lambda _: Response(b"here"))])
    server = uvicorn.Server(uvicorn.Config(app, http=_Connection, lifespan="off", log_config=None))
    thread = threading.Thread(target=asyncio.run, args=(server.serve([opened]),))
    thread.start()
    for sent in (b"", b"GET / HTTP/1.1\r\nHost: x\r\n"):
        with socket.create_connection(opened.getsockname()) as client:
            client.sendall(sent)
            client.settimeout(60)
            assert client.recv(100) == b""
    with socket.create_connection(opened.getsockname()) as client:
        client.settimeout(60)
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200")
    server.should_exit = True
    thread.join()
    opened.close()


def test_a_body_that_does_not_come_is_given_up() -> None:
    async def nothing() -> dict[str, str]:
        await asyncio.Event().wait()
        raise AssertionError

    request = Request({"type": "http", "headers": []}, nothing)
    with pytest.raises(HttpError) as late:
        asyncio.run(read_body(request, Limits(upload_timeout=0.01), lambda _: None))
    assert (late.value.status, late.value.headers["Connection"]) == (408, "close")


def test_a_client_that_takes_no_lines_loses_its_place(predictor: Predictor) -> None:
    segmenter = Segmenter(predictor, ServeSettings(upload_timeout=0.01), View(long_side=128), None)

    async def hang(_: object) -> None:
        await asyncio.Event().wait()

    async def scenario() -> None:
        image, _ = await segmenter.encode(COFFEE)
        scope = {"type": "http", "path_params": {"id": image.id}, "state": {"request_id": "1"}}
        request = Request(scope, never)
        answer = await everything(Call(request, segmenter, Query(), EverythingBody(points_per_side=1)))
        assert segmenter.searches.present == 1
        with pytest.raises(HttpError, match="does not take"):
            await answer.stream_response(hang)  # type: ignore[attr-defined]
        assert segmenter.searches.present == 0

    async def never() -> dict[str, str]:
        await asyncio.Event().wait()
        raise AssertionError

    asyncio.run(scenario())
    segmenter.close()


def test_an_answer_that_has_begun_is_not_begun_again() -> None:
    sent: list[str] = []

    async def app(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise HttpError(408, "slow_client", "too slow")

    async def nothing() -> Message:
        raise AssertionError

    async def note(message: Message) -> None:
        sent.append(message["type"])

    entrance = Entrance(app, Access(ServeSettings()), Metrics())
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"localhost")], "client": None}
    asyncio.run(entrance(scope, nothing, note))
    assert sent == ["http.response.start"]
