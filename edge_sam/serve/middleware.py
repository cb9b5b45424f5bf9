"""What happens around every request: id, access, headers, log, metrics."""

from __future__ import annotations

import re
import secrets
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_sam.serve.access import Access
from edge_sam.serve.errors import HttpError, as_http_error, error_response
from edge_sam.serve.logs import log_request
from edge_sam.serve.metrics import Metrics
from edge_sam.system.timing import elapsed_ms

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
HEADERS = {
    # The page and its scripts come from this server, and it shows photographs that it holds itself.
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:;"
    " img-src 'self' blob: data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    # These two let WebAssembly use threads.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class KeyCheck:
    """Asks for the key. It answers itself, so that the layers around it can change what it answers."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection of ASGI."""
        if scope["type"] == "http":
            try:
                self._access.check_key(scope["method"], scope["path"], Headers(scope=scope))
            except HttpError as error:
                await error_response(error, scope["state"]["request_id"])(scope, receive, send)
                return
        await self._app(scope, receive, send)


class Entrance:
    """The outermost layer of the server. No error leaves it as anything but one line of JSON."""

    def __init__(self, app: ASGIApp, access: Access, metrics: Metrics) -> None:
        self._app, self._access, self._metrics = app, access, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection of ASGI."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        start, status = time.perf_counter(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                changed = MutableHeaders(scope=message)
                for name, value in {**HEADERS, "X-Request-ID": request_id}.items():
                    changed.setdefault(name, value)
            await send(message)

        try:
            self._access.check_names(headers)
            await self._app(scope, receive, answer)
        except Exception as error:
            known = as_http_error(error, request_id)
            if not status:  # Else a part of the answer is out already.
                await error_response(known, request_id)(scope, receive, answer)
        finally:
            self._record(scope, status, elapsed_ms(start), request_id)

    def _record(self, scope: Scope, status: int, milliseconds: float, request_id: str) -> None:
        route = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.requests.labels(method, route, str(status)).inc()
        self._metrics.seconds.labels(route).observe(milliseconds / 1000)
        client = scope["client"][0] if scope.get("client") else "-"
        log_request(method, scope["path"], status, milliseconds, client, request_id)
