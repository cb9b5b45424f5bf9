"""Errors as clients see them: a status, a code for programs and one line for people."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

from edge_sam.errors import EdgeSamError, InputError, one_line

_log = logging.getLogger("edge_sam.serve")
_CODES = {404: "not_found", 405: "method_not_allowed"}


class HttpError(Exception):
    """A request that is not answered as asked.

    Parameters
    ----------
    status : int
        HTTP status.
    code : str
        Tells programs what happened; docs/serve.md lists them.
    message : str
        One line: what was wrong, what to do.
    headers : mapping of str to str
        Further headers of the response.
    """

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers or {}


class ErrorBody(msgspec.Struct):
    """What went wrong."""

    code: str
    message: str


class ErrorAnswer(msgspec.Struct):
    """The body of every response that is an error."""

    error: ErrorBody
    request_id: str


def unknown_image(id: str) -> HttpError:
    """Return the error for an id that the server does not know, or no longer."""
    shown = id[:40].encode("ascii", "replace").decode()
    return HttpError(404, "unknown_image", f"no image {shown} here (any more); upload it again with POST /images")


def as_http_error(error: Exception, request_id: str) -> HttpError:
    """Turn any error into one that says nothing about the inside of the server. What went wrong here is logged."""
    if isinstance(error, HttpError):
        return error
    if isinstance(error, HTTPException):
        code = _CODES.get(error.status_code, "bad_request")
        return HttpError(error.status_code, code, error.detail, error.headers)
    if isinstance(error, InputError):
        return HttpError(422, "invalid_input", one_line(error))
    if isinstance(error, MemoryError):
        return HttpError(503, "out_of_memory", "the server ran out of memory; try a smaller photograph or again later")
    if isinstance(error, EdgeSamError):
        _log.error("request %s: %s", request_id, one_line(error), extra={"request_id": request_id})
        return HttpError(503, "unavailable", "the model cannot answer now; the server's log says why")
    _log.error("request %s: unexpected error", request_id, exc_info=error, extra={"request_id": request_id})
    return HttpError(500, "internal_error", "the server failed; its log has the request id and the cause")


def bad_request(error: HttpError, body: msgspec.Struct) -> Response:
    """Return an error in the form of a server that answers 400 where this one answers 422."""
    status = 400 if error.status == 422 else error.status
    return Response(msgspec.json.encode(body), status, dict(error.headers), "application/json")


def error_response(error: HttpError, request_id: str) -> Response:
    """Return the response for an error."""
    body = ErrorAnswer(ErrorBody(error.code, error.message), request_id)
    headers = {"Cache-Control": "no-store", **error.headers}
    return Response(msgspec.json.encode(body), error.status, headers, "application/json")
