"""Label Studio's ML backend: masks for smart key points and rectangles."""

from __future__ import annotations

import asyncio
import base64
import uuid
from typing import Any

import msgspec
import numpy as np
from starlette.responses import Response

from edge_sam.errors import InputError
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
_POINTS, _BOXES = ("keypointlabels", "keypoint"), ("rectanglelabels", "rectangle")


class LabelStudioTask(msgspec.Struct):
    """A task: `data` holds the address of its photograph."""

    data: dict[str, Any]


class LabelStudioContext(msgspec.Struct):
    """What the user has marked, in per cent of the photograph."""

    result: list[dict[str, Any]] = []


class LabelStudioParams(msgspec.Struct):
    """The part of the parameters that this backend uses."""

    context: LabelStudioContext | None = None


class LabelStudioRequest(msgspec.Struct):
    """A request for predictions."""

    tasks: list[LabelStudioTask]
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


class LabelStudioSetup(msgspec.Struct):
    """A project that is connected."""

    project: Any = None
    schema: str = ""


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
    if not context or not context.result or not body.tasks:
        return LabelStudioAnswer([])
    control = find_control(body.label_config)
    address = body.tasks[0].data.get(control.data_key)
    if not isinstance(address, str):
        raise InputError(f"the task has no {control.data_key!a} in its data")
    photograph = await asyncio.to_thread(read_task_photograph, address, call.segmenter.settings)
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


def _prompt(marks: list[dict[str, Any]], image_size: tuple[int, int]) -> tuple[Prompt, str | None]:
    """Return the prompt that the user's marks make, and the label of the last one."""
    height, width = image_size
    points: list[tuple[float, float]] = []
    labels: list[int] = []
    box, label = None, None
    try:
        for mark in marks:
            kind, value = mark["type"], mark["value"]
            if kind not in (*_POINTS, *_BOXES):
                continue
            x, y = value["x"] * width / 100, value["y"] * height / 100
            if kind in _POINTS:
                points.append((min(x, width - 1), min(y, height - 1)))
                labels.append(int(bool(mark.get("is_positive", value.get("positive", True)))))
            else:
                box = (x, y, x + value["width"] * width / 100, y + value["height"] * height / 100)
            label = next(iter(value.get(kind) or ()), label)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError("the context has a mark without type, value, x or y, as Label Studio sends them") from error
    return Prompt(points or None, labels or None, box), label if isinstance(label, str) else None


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
        body=LabelStudioSetup,
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
        body=dict[str, Any],
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
        answer=LabelStudioAnswer,
        errors=_ERRORS,
    ),
)
