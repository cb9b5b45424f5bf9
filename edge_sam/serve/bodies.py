"""Read the body of a request within the limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from edge_sam.serve.errors import HttpError
from edge_sam.serve.settings import Limits

_PIECE = 1 << 20
"""Bytes of a form that are read at once. Other requests go on between two pieces."""


async def read_body(request: Request, limits: Limits, take: Callable[[int], None]) -> bytes:
    """Read a body.

    Parameters
    ----------
    request : Request
    limits : Limits
    take : callable
        Called with the size of each part that arrives (`ByteBudget.lend`).

    Raises
    ------
    HttpError
        It is too large (413), slow (408), or cut off.
    """
    most = limits.max_body_mb * 10**6
    too_large = HttpError(413, "body_too_large", f"the body is larger than {limits.max_body_mb} MB, the limit here")
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdecimal() and int(declared) > most:
        raise too_large

    async def read() -> bytes:
        body = bytearray()
        async for chunk in request.stream():
            if len(body) + len(chunk) > most:
                raise too_large
            take(len(chunk))
            body += chunk
        return bytes(body)

    try:
        return await asyncio.wait_for(read(), limits.upload_timeout)
    except asyncio.TimeoutError:
        raise HttpError(
            408, "slow_body", f"the body did not arrive in {limits.upload_timeout:g} seconds", {"Connection": "close"}
        ) from None
    except ClientDisconnect:
        raise HttpError(499, "client_gone", "the client went away") from None


async def photograph_of(request: Request, body: bytes) -> bytes:
    """Return the photograph in a body: the body itself, or the form field `image` of ``multipart/form-data``.

    Raises
    ------
    HttpError
        The type is neither an image nor a form (415), or the form is damaged or has no such field (400).
    """
    kind = request.headers.get("content-type", "application/octet-stream").partition(";")[0].strip().lower()
    if kind.startswith("image/") or kind == "application/octet-stream":
        return body
    if kind != "multipart/form-data":
        raise HttpError(
            415, "unsupported_type", "send a photograph as image/*, application/octet-stream or multipart/form-data"
        )

    async def pieces() -> AsyncGenerator[bytes, None]:
        for start in range(0, len(body), _PIECE):
            yield body[start : start + _PIECE]
            await asyncio.sleep(0)

    try:
        form = await MultiPartParser(request.headers, pieces(), max_files=1, max_fields=8).parse()
        image = form.get("image")
        if isinstance(image, UploadFile):
            return await image.read()
    except (MultiPartException, KeyError, ValueError) as error:
        raise HttpError(400, "damaged_form", "the form is damaged") from error
    raise HttpError(400, "no_image", "the form has no file in the field image")
