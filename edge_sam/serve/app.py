"""The application: operations, page and what surrounds them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from edge_sam.errors import InputError
from edge_sam.serve.access import Access
from edge_sam.serve.adapters import label_studio, osam, roboflow, x_anylabeling
from edge_sam.serve.endpoints import everything, images, models, text
from edge_sam.serve.errors import as_http_error, error_response
from edge_sam.serve.middleware import Entrance, KeyCheck
from edge_sam.serve.openapi import openapi
from edge_sam.serve.operations import JSON, Operation
from edge_sam.serve.segmenter import Segmenter

PAGE = Path(__file__).parent / "page"
OPERATIONS: tuple[Operation, ...] = (
    *models.OPERATIONS,
    *images.OPERATIONS,
    *text.OPERATIONS,
    *everything.OPERATIONS,
    *label_studio.OPERATIONS,
    *x_anylabeling.OPERATIONS,
    *osam.OPERATIONS,
    *roboflow.OPERATIONS,
)


class _Files(StaticFiles):
    """Static files that a browser asks about each time, so that an upgrade is seen."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        response = super().file_response(*args, **options)
        response.headers.setdefault("Cache-Control", "no-cache")
        return response


def make_app(segmenter: Segmenter, access: Access) -> ASGIApp:
    """Return the server's ASGI application.

    Parameters
    ----------
    segmenter : Segmenter
        Answers. Close it when the server ends.
    access : Access
        Whom it answers.

    Raises
    ------
    InputError
        The folder for `browser_runtime` does not hold onnxruntime-web.
    """
    document = msgspec.json.encode(openapi(OPERATIONS))

    async def describe(_: Request) -> Response:
        return Response(document, media_type=JSON)

    async def root(request: Request) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return FileResponse(PAGE / "index.html", headers={"Cache-Control": "no-cache", "Vary": "Accept"})
        return Response(msgspec.json.encode(models.health_of(segmenter)), headers={"Vary": "Accept"}, media_type=JSON)

    routes: list[BaseRoute] = [Route("/", root), Route("/openapi.json", describe)]
    routes += [operation.route(segmenter) for operation in OPERATIONS]
    routes.append(Mount("/page", _Files(directory=PAGE)))
    if segmenter.settings.browser_runtime is not None:
        routes.append(Mount(models.BROWSER_RUNTIME.rstrip("/"), _browser_runtime(segmenter.settings.browser_runtime)))
    app: ASGIApp = Starlette(routes=routes, exception_handlers={HTTPException: _refused, Exception: _refused})
    app = KeyCheck(app, access)
    if segmenter.settings.allow_origin:
        app = CORSMiddleware(
            app,
            allow_origins=segmenter.settings.allow_origin,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["Retry-After", "X-Request-ID"],
        )
    return Entrance(app, access, segmenter.metrics)


async def _refused(request: Request, error: Exception) -> Response:
    id = request.state.request_id
    return error_response(as_http_error(error, id), id)


def _browser_runtime(folder: Path) -> StaticFiles:
    """Serve onnxruntime-web from the folder of its package, or from the `dist` in it."""
    for place in (folder / "dist", folder):
        if any(place.glob("*.wasm")):
            return _Files(directory=place)
    raise InputError(
        f"--browser-runtime {folder} has no .wasm files; give the folder of the npm package onnxruntime-web"
    )
