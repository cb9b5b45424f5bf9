"""Operations of the HTTP API, each declared once: for the routes and for the OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_sam.files.serialization import decode_json
from edge_sam.serve.bodies import read_body
from edge_sam.serve.errors import ErrorAnswer, HttpError, as_http_error, error_response
from edge_sam.serve.messages import Query
from edge_sam.serve.segmenter import Segmenter

PHOTOGRAPH = "photograph"
"""Body of an operation that takes a photograph."""
JSON, BYTES = "application/json", "application/octet-stream"
_VALUES = 400_000
"""Enough for the most prompts of the most points. Decoding takes up to 0.2 µs a value."""
_MEMBERS = 400_000
"""Members of objects, also where long lists of numbers are skipped. Each has a colon; those inside texts count too."""


@dataclass(frozen=True, eq=False)
class Call:
    """One request to an operation.

    Attributes
    ----------
    request : Request
    segmenter : Segmenter
    query : Query
        Of the operation's type.
    body : object
        Of the operation's type; bytes for a photograph.
    """

    request: Request
    segmenter: Segmenter
    query: Any
    body: Any


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One method of one path.

    Attributes
    ----------
    method, path : str
        As Starlette takes them.
    handle : callable
        Takes a `Call`; returns a `Response`, or a value that becomes JSON.
    summary : str
        One line for the OpenAPI document.
    tag : str
        The part of the API.
    query : type
        Type of the query parameters.
    body : type or str, optional
        Type of the JSON body, or `PHOTOGRAPH`.
    values : int
        Most values in the JSON body. All other requests wait while one is decoded, in whatever thread, since the
        decoder holds the interpreter's lock. It takes long for many small values, not for the text of a photograph.
    answer : type or None
        Type of the JSON answer.
    media : str
        Media type of the answer.
    status : int
        Status of the answer.
    errors : tuple of int
        Statuses of errors, besides those of every operation.
    fails : callable
        Makes the response for an error, for clients that expect another form.
    failure : type
        Type of that response.
    """

    method: str
    path: str
    handle: Callable[[Call], Awaitable[Any]]
    summary: str
    tag: str = "edge_sam"
    query: type[Query] = Query
    body: Any = None
    values: int = _VALUES
    answer: Any = None
    media: str = JSON
    status: int = 200
    errors: tuple[int, ...] = ()
    fails: Callable[[HttpError, str], Response] = error_response
    failure: type = ErrorAnswer

    def route(self, segmenter: Segmenter) -> Route:
        """Return the route that answers with a segmenter."""

        async def endpoint(request: Request) -> Response:
            try:
                query = _query(request, self.query)
                with segmenter.bodies.lend() as take:
                    body = None
                    if self.body is not None:
                        body = await read_body(request, segmenter.settings, take)
                        if self.body != PHOTOGRAPH:
                            body = _decoded(body, self.body, self.values)
                    answer = await self.handle(Call(request, segmenter, query, body))
                if isinstance(answer, Response):
                    return answer
                return Response(msgspec.json.encode(answer), self.status, media_type=JSON)
            except Exception as error:
                id = request.state.request_id
                return self.fails(as_http_error(error, id), id)

        return Route(self.path, endpoint, methods=[self.method], name=f"{self.method} {self.path}")


def _query(request: Request, kind: type[Query]) -> Query:
    given = dict(request.query_params)
    if len(given) < len(request.query_params.multi_items()):
        raise HttpError(422, "invalid_query", "a query parameter is given twice")
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise HttpError(422, "invalid_query", f"query: {_plain(error)}") from error


def _decoded(body: bytes, kind: Any, most: int) -> Any:
    if body.count(b":") > _MEMBERS:
        raise HttpError(413, "too_many_values", f"the body has more than {_MEMBERS} members; send less at once")
    if body.count(b",") >= most:
        raise HttpError(413, "too_many_values", f"the body has more than {most} values; send less at once")
    try:
        return decode_json(body, kind)
    except msgspec.ValidationError as error:
        raise HttpError(422, "invalid_body", f"body: {_plain(error)}") from error
    except msgspec.DecodeError as error:
        raise HttpError(400, "not_json", f"the body is not JSON: {_plain(error)}") from error


def _plain(error: Exception) -> str:
    """Return msgspec's message as one line of bounded length."""
    text = re.sub(r"[^ -~]+", " ", str(error)).strip()
    return text if len(text) <= 300 else f"{text[:300]}…"
