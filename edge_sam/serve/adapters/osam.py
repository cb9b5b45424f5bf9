"""osam's `/api/generate`."""

from __future__ import annotations

import base64
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta
from starlette.responses import Response

from edge_sam.errors import InputError
from edge_sam.prompts import Prompt
from edge_sam.result import Result
from edge_sam.serve.adapters.photographs import photograph_in
from edge_sam.serve.errors import HttpError, bad_request
from edge_sam.serve.images import ServedImage
from edge_sam.serve.mask_formats import mask_png
from edge_sam.serve.messages import LooseQuery, Point, Share, Text
from edge_sam.serve.operations import Call, Operation
from edge_sam.serve.words import check_texts, find_words

_CORNERS = (2, 3)
_SCORE_THRESHOLD = 0.1
"""The default of osam's types, which send it even if the user set nothing."""


class OsamPrompt(msgspec.Struct):
    """Points with labels 0 off, 1 on the object, 2 and 3 corners of a box; or texts, with the settings for them."""

    points: list[Point] | None = None
    point_labels: list[Annotated[int, Meta(ge=0, le=3)]] | None = None
    texts: list[Text] | None = None
    iou_threshold: Share | None = None
    score_threshold: Share | None = None
    """0.1, osam's default: as suits the matcher."""
    max_annotations: Annotated[int, Meta(ge=1)] | None = None


class OsamRequest(msgspec.Struct):
    """A request to generate masks. `image_embedding` is not read: the server knows a photograph by its content."""

    model: str
    image: str | None = None
    """Base64 of an encoded photograph."""
    prompt: OsamPrompt | None = None
    """Default: the photograph's centre."""


class OsamBox(msgspec.Struct):
    """In pixels; both ends belong to the box."""

    xmin: int
    ymin: int
    xmax: int
    ymax: int


class OsamAnnotation(msgspec.Struct):
    """A mask inside its box."""

    bounding_box: OsamBox
    mask: str
    """Base64 of a grey PNG, 255 on the object."""
    score: float
    text: str | None = None


class OsamAnswer(msgspec.Struct):
    """The masks. `image_embedding` is always null."""

    model: str
    annotations: list[OsamAnnotation]
    image_embedding: None = None


async def osam_generate(call: Call) -> OsamAnswer:
    """Answer a prompt."""
    body: OsamRequest = call.body
    if body.image is None:
        raise InputError("the request has no image; this server takes no image_embedding, it keeps embeddings itself")
    prompt, answer = body.prompt, _by_points
    if prompt is not None and prompt.texts is not None and not prompt.points:
        check_texts(call.segmenter, prompt.texts)  # Before the photograph is encoded.
        answer = _by_words
    image, _ = await call.segmenter.encode(await photograph_in(body.image), request=call.request)
    height, width = image.embedding.geometry.image_size
    middle = OsamPrompt(points=[(width / 2, height / 2)], point_labels=[1])
    annotations = await answer(call, image, prompt or middle)
    return OsamAnswer(call.segmenter.predictor.bundle.manifest.name, annotations)


async def _by_points(call: Call, image: ServedImage, prompt: OsamPrompt) -> list[OsamAnnotation]:
    answers, _ = await call.segmenter.predict(
        image, [_prompt(prompt)], _annotation, multimask=False, request=call.request
    )
    return [found for found in answers if found is not None]


async def _by_words(call: Call, image: ServedImage, prompt: OsamPrompt) -> list[OsamAnnotation]:
    found = await find_words(
        call.segmenter,
        image,
        prompt.texts or [],
        _annotation,
        most=prompt.max_annotations,
        request=call.request,
        threshold=None if prompt.score_threshold == _SCORE_THRESHOLD else prompt.score_threshold,
        overlap=prompt.iou_threshold,
    )
    return [
        msgspec.structs.replace(annotation, score=each.score, text=each.word)
        for each, annotation in found.masks
        if annotation is not None
    ]


def _prompt(body: OsamPrompt) -> Prompt:
    points, labels = body.points or [], body.point_labels or []
    if len(points) != len(labels):
        raise InputError(f"{len(points)} points have {len(labels)} point_labels")
    clicks = [(point, label) for point, label in zip(points, labels, strict=True) if label not in _CORNERS]
    corners = {label: point for point, label in zip(points, labels, strict=True) if label in _CORNERS}
    if len(clicks) + len(corners) < len(points) or len(corners) == 1:
        raise InputError("a box has one point with label 2, top left, and one with label 3, bottom right")
    box = (*corners[2], *corners[3]) if corners else None
    return Prompt([point for point, _ in clicks] or None, [label for _, label in clicks] or None, box)


def _annotation(result: Result) -> OsamAnnotation | None:
    """Convert the one mask of a result. None if it is empty."""
    x0, y0, x1, y1 = (int(side) for side in result.boxes[0])
    if x0 == x1:
        return None
    cropped = np.ascontiguousarray(result.masks[0][y0:y1, x0:x1])
    return OsamAnnotation(
        OsamBox(x0, y0, x1 - 1, y1 - 1), base64.b64encode(mask_png(cropped)).decode(), float(result.scores[0])
    )


class OsamError(msgspec.Struct):
    """An error as osam's server has it."""

    detail: str
    code: str
    request_id: str


def _fails(error: HttpError, request_id: str) -> Response:
    return bad_request(error, OsamError(error.message, error.code, request_id))


OPERATIONS = (
    Operation(
        method="POST",
        path="/api/generate",
        handle=osam_generate,
        summary="As osam's server.",
        tag="osam",
        query=LooseQuery,
        body=OsamRequest,
        answer=OsamAnswer,
        errors=(408, 413, 415, 429, 503, 504),
        fails=_fails,
        failure=OsamError,
    ),
)
