"""A server that writes down what it is asked."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import edge_sam
from edge_sam.imaging.view import View
from edge_sam.serve.access import Access
from edge_sam.serve.app import make_app
from edge_sam.serve.segmenter import Segmenter
from edge_sam.serve.settings import ServeSettings
from served_requests.photograph import FOLDER

_HEADERS = frozenset({"accept", "authorization", "content-type", "token"})
"""Headers that a server may read."""
_SECRETS = frozenset({"access_token", "api_key", "authorization", "token"})
_CHANGING = {
    re.compile(r"(http://(?:localhost|127\.0\.0\.1)):\d+"): r"\1:8080",
    re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z"): "2026-01-01T00:00:00Z",
}
"""Ports and dates, which change from one recording to the next, and what is written in their place."""


def _fixed(value: Any) -> Any:
    """Return JSON without secrets, ports and dates. An empty secret stays empty."""
    if isinstance(value, dict):
        return {name: "secret" if name in _SECRETS and each else _fixed(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_fixed(each) for each in value]
    if isinstance(value, str):
        for pattern, fixed in _CHANGING.items():
            value = pattern.sub(fixed, value)
    return value


class _Recorder:
    """Passes requests on to an application and keeps them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.requests: list[dict[str, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = bytearray()
        query = scope["query_string"].decode()
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        request: dict[str, Any] = {
            "method": scope["method"],
            "path": f"{scope['path']}?{query}" if query else scope["path"],
            "headers": {name: headers[name] for name in sorted(_HEADERS & set(headers))},
        }
        self.requests.append(request)

        async def record() -> Message:
            message = await receive()
            body.extend(message.get("body", b""))
            return message

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                request["status"] = message["status"]
            await send(message)

        await self._app(scope, record, answer)
        request["body"] = json.loads(body) if body else None


@contextmanager
def recording(name: str, client: str, **settings: Any) -> Iterator[str]:
    """Serve, yield the address, and write what came to `name`.json.

    Parameters
    ----------
    name : str
        The script's.
    client : str
        The client's package with its version.
    **settings
        Of `ServeSettings`.
    """
    given = ServeSettings(**settings)
    segmenter = Segmenter(edge_sam.load("mobile-sam"), given, View(long_side=512), None)
    recorder = _Recorder(make_app(segmenter, Access(given)))
    server = uvicorn.Server(uvicorn.Config(recorder, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        segmenter.close()
    record = {
        "client": client,
        "recorded_by": f"python -m served_requests.{name}",
        "requests": _fixed(recorder.requests),
    }
    (FOLDER / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
