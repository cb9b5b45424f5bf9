"""Roboflow's `/sam2/embed_image` and `/sam2/segment_image`."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from edge_sam.errors import InputError
from edge_sam.prompts import Prompt
from edge_sam.result import Result
from edge_sam.serve.adapters.photographs import photograph_in
from edge_sam.serve.errors import HttpError, bad_request
from edge_sam.serve.images import ServedImage
from edge_sam.serve.messages import LooseQuery
from edge_sam.serve.operations import Call, Operation
from edge_sam.serve.segmenter import Segmenter

_TAG = "Roboflow"
_ERRORS = (408, 413, 415, 429, 503, 504)


class RoboflowImage(msgspec.Struct):
    """A photograph. Addresses are not fetched."""

    type: str
    value: str


class RoboflowBox(msgspec.Struct):
    """A box by its centre, in pixels."""

    x: float
    y: float
    width: float
    height: float


class RoboflowPoint(msgspec.Struct):
    """A point on the object, or off it."""

    x: float
    y: float
    positive: bool = True


class RoboflowPrompt(msgspec.Struct):
    """A box, points, or both."""

    box: RoboflowBox | None = None
    points: list[RoboflowPoint] | None = None


class RoboflowPrompts(msgspec.Struct):
    """Several prompts."""

    prompts: list[RoboflowPrompt] | None = None


class RoboflowEmbed(msgspec.Struct):
    """A photograph to encode. A given `image_id` is not read."""

    image: RoboflowImage


class RoboflowEmbedded(msgspec.Struct):
    """The photograph's id, which is always this server's."""

    image_id: str
    time: float


class RoboflowSegment(msgspec.Struct):
    """What to segment. Without an image, `image_id` is one that this server returned."""

    prompts: RoboflowPrompts | list[RoboflowPrompt]
    image: RoboflowImage | None = None
    image_id: str | None = None
    multimask_output: bool = True
    format: Literal["json", "polygon", "rle"] = "json"


class RoboflowMask(msgspec.Struct):
    """A mask: a list of outlines, or COCO run lengths."""

    masks: Any
    confidence: float
    format: Literal["polygon", "rle"]


class RoboflowAnswer(msgspec.Struct):
    """A mask for each prompt."""

    predictions: list[RoboflowMask]
    time: float
    """Seconds."""


async def roboflow_embed(call: Call) -> RoboflowEmbedded:
    """Encode a photograph."""
    start = time.perf_counter()
    image = await _encoded(call.segmenter, call.body.image, call.request)
    return RoboflowEmbedded(image.id, time.perf_counter() - start)


async def roboflow_segment(call: Call) -> RoboflowAnswer:
    """Answer prompts."""
    start = time.perf_counter()
    body: RoboflowSegment = call.body
    if body.image is not None:
        image = await _encoded(call.segmenter, body.image, call.request)
    elif body.image_id is not None:
        image = await call.segmenter.find(body.image_id)
    else:
        raise InputError("the request has no image")
    given = body.prompts if isinstance(body.prompts, list) else body.prompts.prompts
    if not given:
        raise InputError("the request has no prompts; give boxes or points")
    most = call.segmenter.settings.max_prompts + 1
    masks, _ = await call.segmenter.predict(
        image,
        [_prompt(prompt) for prompt in given[:most]],
        partial(_mask, format=body.format),
        multimask=False,
        prefer="best" if body.multimask_output else "single",
        request=call.request,
    )
    return RoboflowAnswer(masks, time.perf_counter() - start)


async def _encoded(segmenter: Segmenter, image: RoboflowImage, request: Request) -> ServedImage:
    if image.type != "base64":
        raise InputError(
            f"the image has type {image.type[:20]!a}; this server takes base64 only, and fetches no addresses"
        )
    found, _ = await segmenter.encode(await photograph_in(image.value), request=request)
    return found


def _prompt(body: RoboflowPrompt) -> Prompt:
    corners, box = None, body.box
    if box is not None:
        half_width, half_height = box.width / 2, box.height / 2
        corners = (box.x - half_width, box.y - half_height, box.x + half_width, box.y + half_height)
    points = body.points or []
    return Prompt([(each.x, each.y) for each in points] or None, [each.positive for each in points] or None, corners)


def _mask(result: Result, format: str) -> RoboflowMask:
    confidence = float(result.scores[0])
    if format == "rle":
        return RoboflowMask(result.to_rle()[0], confidence, "rle")
    return RoboflowMask([outline.tolist() for outline in result.to_polygons()[0]], confidence, "polygon")


class RoboflowError(msgspec.Struct):
    """An error as Roboflow's server has it."""

    message: str
    code: str
    request_id: str


def _fails(error: HttpError, request_id: str) -> Response:
    return bad_request(error, RoboflowError(error.message, error.code, request_id))


OPERATIONS = (
    Operation(
        method="POST",
        path="/sam2/embed_image",
        handle=roboflow_embed,
        summary="As Roboflow's server.",
        tag=_TAG,
        query=LooseQuery,
        body=RoboflowEmbed,
        answer=RoboflowEmbedded,
        errors=_ERRORS,
        fails=_fails,
        failure=RoboflowError,
    ),
    Operation(
        method="POST",
        path="/sam2/segment_image",
        handle=roboflow_segment,
        summary="As Roboflow's server.",
        tag=_TAG,
        query=LooseQuery,
        body=RoboflowSegment,
        answer=RoboflowAnswer,
        errors=(404, *_ERRORS),
        fails=_fails,
        failure=RoboflowError,
    ),
)
