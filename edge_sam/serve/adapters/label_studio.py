"""Label Studio's ML backend: masks for smart key points and rectangles."""

from __future__ import annotations

import base64
import uuid
from functools import partial
from typing import Any, cast

import msgspec
import numpy as np
from starlette.responses import Response

from edge_sam.errors import InputError
from edge_sam.files.serialization import decode_json
from edge_sam.prompts import Prompt
from edge_sam.result import Result
from edge_sam.serve.adapters.label_studio_config import Control, find_control
from edge_sam.serve.adapters.label_studio_files import read_task_photograph
from edge_sam.serve.adapters.label_studio_rle import encode_brush
from edge_sam.serve.mask_formats import mask_png
from edge_sam.serve.messages import LooseQuery
from edge_sam.serve.operations import JSON, Call, Operation
from edge_sam.serve.segmenter import Segmenter

_TAG = "Label Studio"
_ERRORS = (408, 413, 415, 429, 503, 504)
_VALUES = 4_000_000
"""A task comes with its annotations, whose brush masks are lists of numbers. They are skipped, which is quick."""
_MOST_MARKS = 2000
"""Marks of one request. A user sets tens."""
_POINTS, _BOXES = ("keypointlabels", "keypoint"), ("rectanglelabels", "rectangle")


class LabelStudioTask(msgspec.Struct):
    """A task: `data` holds the address of its photograph."""

    data: msgspec.Raw


class LabelStudioTasks(msgspec.Struct, array_like=True):
    """A list of tasks. Only the first is read: what a user marks belongs to one."""

    first: LabelStudioTask | None = None


class LabelStudioMark(msgspec.Struct):
    """A region that the user has marked. Only key points and rectangles are read."""

    type: str
    value: msgspec.Raw
    is_positive: bool | None = None


class LabelStudioValue(msgspec.Struct):
    """The place of a key point or a rectangle, in per cent of the photograph."""

    x: float
    y: float
    width: float = 0.0
    height: float = 0.0
    positive: bool = True
    keypointlabels: list[str] = []
    rectanglelabels: list[str] = []


class LabelStudioContext(msgspec.Struct):
    """What the user has marked."""

    result: list[LabelStudioMark] = []


class LabelStudioParams(msgspec.Struct):
    """The part of the parameters that this backend uses."""

    context: LabelStudioContext | None = None


class LabelStudioRequest(msgspec.Struct):
    """A request for predictions."""

    tasks: LabelStudioTasks
    label_config: str = ""
    params: LabelStudioParams | None = None


class LabelStudioPrediction(msgspec.Struct):
    """The regions of a task."""

    result: list[dict[str, Any]]
    score: float
    model_version: str


class LabelStudioAnswer(msgspec.Struct):
    """Predictions, none if nothing is marked."""

    results: list[LabelStudioPrediction]


class LabelStudioNotice(msgspec.Struct):
    """A project that is connected, or an event. Nothing of it is read."""


async def label_studio_setup(call: Call) -> dict[str, str]:
    """Tell the model's version."""
    return {"model_version": _version(call.segmenter)}


async def label_studio_webhook(_: Call) -> Response:
    """Take note of an event. Nothing is trained here."""
    return Response(b'{"status":"ok"}', 201, media_type=JSON)


async def label_studio_predict(call: Call) -> LabelStudioAnswer:
    """Answer what the user has marked."""
    body: LabelStudioRequest = call.body
    context = body.params and body.params.context
    task = body.tasks.first
    if not context or not context.result or not task:
        return LabelStudioAnswer([])
    if len(context.result) > _MOST_MARKS:
        raise InputError(f"{len(context.result)} marks in one request; send at most {_MOST_MARKS}")
    control = find_control(body.label_config)
    try:
        kind = msgspec.defstruct("Data", [("address", str)], rename={"address": control.data_key})
        address = decode_json(task.data, kind).address
    except msgspec.DecodeError as error:
        raise InputError(f"the task has no {control.data_key!a} in its data") from error
    read = partial(read_task_photograph, address, call.segmenter.settings)
    with call.segmenter.downloads.admit(call.request) as place:
        photograph = await place.run(read)
    image, _ = await call.segmenter.encode(photograph, request=call.request)
    prompt, label = _prompt(context.result, image.embedding.geometry.image_size)
    labels = [label] if label else list(control.labels[:1])

    def convert(result: Result) -> LabelStudioPrediction:
        regions = [_region(value, result, control) for value in _values(result, control, labels)]
        return LabelStudioPrediction(regions, float(result.scores[0]), _version(call.segmenter))

    predictions, _ = await call.segmenter.predict(image, [prompt], convert, multimask=False, request=call.request)
    return LabelStudioAnswer(predictions)


def _version(segmenter: Segmenter) -> str:
    facts = segmenter.predictor.facts
    return f"{facts.model} {facts.precision} {facts.weights[:12]}"


def _prompt(marks: list[LabelStudioMark], image_size: tuple[int, int]) -> tuple[Prompt, str | None]:
    """Return the prompt that the user's marks make, and the label of the last one."""
    height, width = image_size
    points: list[tuple[float, float]] = []
    labels: list[bool] = []
    box, label = None, None
    for mark in marks:
        if mark.type not in (*_POINTS, *_BOXES):
            continue
        value = _value(mark)
        x, y = value.x * width / 100, value.y * height / 100
        if mark.type in _POINTS:
            points.append((min(x, width - 1), min(y, height - 1)))
            labels.append(value.positive if mark.is_positive is None else mark.is_positive)
        else:
            box = (x, y, x + value.width * width / 100, y + value.height * height / 100)
        label = next(iter(value.keypointlabels or value.rectanglelabels), label)
    return Prompt(points or None, labels or None, box), label


def _value(mark: LabelStudioMark) -> LabelStudioValue:
    try:
        return cast(LabelStudioValue, decode_json(mark.value, LabelStudioValue))
    except msgspec.DecodeError as error:
        raise InputError(f"a mark is not as Label Studio sends it: {error}") from error


def _values(result: Result, control: Control, labels: list[str]) -> list[dict[str, Any]]:
    """Return the value of each region that shows the one mask of a result; none if it is empty."""
    mask, (x0, y0, x1, y1) = result.masks[0], result.boxes[0].tolist()
    height, width = mask.shape
    if x0 == x1:
        return []
    named = {control.type: labels}
    if control.type == "brushlabels":
        return [{"format": "rle", "rle": encode_brush(mask), **named}]
    if control.type == "bitmasklabels":
        return [{"imageDataURL": f"data:image/png;base64,{base64.b64encode(mask_png(mask)).decode()}", **named}]
    if control.type == "rectanglelabels":
        left, top = 100 * x0 / width, 100 * y0 / height
        size = {"width": 100 * (x1 - x0) / width, "height": 100 * (y1 - y0) / height}
        return [{"x": left, "y": top, **size, "rotation": 0, **named}]
    scale = np.array([100 / width, 100 / height])
    outlines = (outline * scale for outline in result.to_polygons()[0])
    return [{"points": outline.tolist(), "closed": True, **named} for outline in outlines]


def _region(value: dict[str, Any], result: Result, control: Control) -> dict[str, Any]:
    height, width = result.masks.shape[1:]
    return {
        "id": uuid.uuid4().hex[:10],
        "from_name": control.from_name,
        "to_name": control.to_name,
        "type": control.type,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": value,
        "score": float(result.scores[0]),
        "readonly": False,
    }


OPERATIONS = (
    Operation(
        method="POST",
        path="/setup",
        handle=label_studio_setup,
        summary="As Label Studio's ML backend.",
        tag=_TAG,
        query=LooseQuery,
        body=LabelStudioNotice,
        values=_VALUES,
        answer=dict[str, str],
        errors=(408, 413, 429),
    ),
    Operation(
        method="POST",
        path="/webhook",
        handle=label_studio_webhook,
        summary="As Label Studio's ML backend; no event has an effect.",
        tag=_TAG,
        query=LooseQuery,
        body=LabelStudioNotice,
        values=_VALUES,
        answer=dict[str, str],
        status=201,
        errors=(408, 413, 429),
    ),
    Operation(
        method="POST",
        path="/predict",
        handle=label_studio_predict,
        summary="As Label Studio's ML backend: masks for smart key points and rectangles.",
        tag=_TAG,
        query=LooseQuery,
        body=LabelStudioRequest,
        values=_VALUES,
        answer=LabelStudioAnswer,
        errors=_ERRORS,
    ),
)
