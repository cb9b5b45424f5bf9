"""The remote server of X-AnyLabeling."""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import Annotated, Any, Literal

import cv2
import msgspec
import numpy as np
from msgspec import Meta
from starlette.responses import Response

from edge_sam.prompts import Prompt
from edge_sam.result import Result
from edge_sam.serve.adapters.photographs import photograph_in
from edge_sam.serve.errors import HttpError
from edge_sam.serve.messages import LooseQuery
from edge_sam.serve.operations import JSON, Call, Operation
from edge_sam.serve.segmenter import Segmenter

_TAG = "X-AnyLabeling"
_LABEL = "AUTOLABEL_OBJECT"
"""The client asks the user for a label in its place."""
_SMALLEST_ISLAND = 0.01
"""Smallest outline that becomes a shape, as a fraction of the mask's largest."""
_WIDGETS = (
    ("button_add_point", None),
    ("button_remove_point", None),
    ("button_add_rect", None),
    ("button_clear", None),
    ("button_finish_object", None),
    ("mask_fineness_slider", 10),
    ("mask_fineness_value_label", None),
)
"""Parts of the client's window that this model uses, with their values."""


class AnyLabelingMark(msgspec.Struct):
    """A point (x, y) with label 1 or 0, or a rectangle (x0, y0, x1, y1)."""

    type: Literal["point", "rectangle"]
    data: list[float]
    label: int = 1


class AnyLabelingParams(msgspec.Struct):
    """The part of the client's parameters that this model uses."""

    marks: list[AnyLabelingMark] = []
    epsilon_factor: Annotated[float, Meta(ge=0, le=1)] = 0.001
    """Largest distance between a shape and the mask's outline, as a fraction of the outline's length."""
    text_prompt: str | None = None


class AnyLabelingRequest(msgspec.Struct):
    """A photograph with marks."""

    model: str
    image: str
    """Base64, or a data URI."""
    params: AnyLabelingParams = msgspec.field(default_factory=AnyLabelingParams)


class AnyLabelingShape(msgspec.Struct):
    """A polygon whose last point is its first."""

    points: list[tuple[float, float]]
    score: float
    label: str = _LABEL
    shape_type: str = "polygon"


class AnyLabelingAnswer(msgspec.Struct):
    """The body of every response, errors included."""

    success: bool
    data: Any = None
    error: dict[str, str] | None = None


async def any_labeling_models(call: Call) -> AnyLabelingAnswer:
    """List the model."""
    return AnyLabelingAnswer(True, {_id(call.segmenter): _info(call.segmenter)})


async def any_labeling_model(call: Call) -> AnyLabelingAnswer:
    """Describe the model."""
    _check_model(call.segmenter, call.request.path_params["id"])
    return AnyLabelingAnswer(True, {"model_id": _id(call.segmenter), **_info(call.segmenter)})


async def any_labeling_predict(call: Call) -> AnyLabelingAnswer:
    """Answer marks."""
    body: AnyLabelingRequest = call.body
    _check_model(call.segmenter, body.model)
    prompts = _prompts(body.params, call.segmenter.settings.max_prompts + 1)
    shapes: list[list[AnyLabelingShape]] = []
    if prompts:
        image, _ = await call.segmenter.encode(await photograph_in(body.image), request=call.request)
        convert = partial(_shapes, epsilon_factor=body.params.epsilon_factor)
        shapes, _ = await call.segmenter.predict(image, prompts, convert, multimask=False, request=call.request)
    return AnyLabelingAnswer(True, {"shapes": list(chain(*shapes)), "description": "", "replace": False})


def _id(segmenter: Segmenter) -> str:
    return segmenter.predictor.bundle.manifest.name


def _info(segmenter: Segmenter) -> dict[str, Any]:
    return {
        "display_name": f"edge_sam {_id(segmenter)}",
        "widgets": [{"name": name, "value": value} for name, value in _WIDGETS],
        "params": {},
        "capabilities": {},
        "batch_processing_mode": None,
    }


def _check_model(segmenter: Segmenter, id: str) -> None:
    if id != _id(segmenter):
        raise HttpError(404, "MODEL_NOT_FOUND", f"this server has the model {_id(segmenter)} only")


def _prompts(params: AnyLabelingParams, most: int) -> list[Prompt]:
    """Return a prompt for each of the first `most` rectangles, with all points, or one for the points alone."""
    if params.text_prompt:
        raise HttpError(422, "INVALID_PARAMS", "this model takes points and rectangles, no text")
    points = [mark for mark in params.marks if mark.type == "point"]
    boxes = [mark.data for mark in params.marks if mark.type == "rectangle"][:most]
    if not points:
        return [Prompt(box=_ordered(box)) for box in boxes]
    clicks = Prompt([mark.data for mark in points], [mark.label for mark in points])
    return [Prompt(clicks.points, clicks.labels, _ordered(box)) for box in boxes] or [clicks]


def _ordered(box: list[float]) -> list[float]:
    """Return a box that was drawn from any corner as XYXY."""
    if len(box) != 4:
        return box
    (x0, x1), (y0, y1) = sorted(box[::2]), sorted(box[1::2])
    return [x0, y0, x1, y1]


def _shapes(result: Result, epsilon_factor: float) -> list[AnyLabelingShape]:
    """Convert the one mask of a result to polygons, small islands left out."""
    outlines = result.to_polygons()[0]
    areas = [cv2.contourArea(outline) for outline in outlines]
    smallest = _SMALLEST_ISLAND * max(areas, default=0.0)
    shapes: list[AnyLabelingShape] = []
    for outline, area in zip(outlines, areas, strict=True):
        corners = cv2.approxPolyDP(outline, epsilon_factor * cv2.arcLength(outline, True), True).reshape(-1, 2)
        if area >= smallest and len(corners) >= 3:
            closed = np.concatenate([corners, corners[:1]]).astype(float)
            shapes.append(AnyLabelingShape([(x, y) for x, y in closed.tolist()], float(result.scores[0])))
    return shapes


def _fails(error: HttpError, request_id: str) -> Response:
    """Return an error as X-AnyLabeling's server does: status 200, but for a server that is busy."""
    busy = error.status in (429, 503)
    answer = AnyLabelingAnswer(False, error={"code": error.code, "message": f"{error.message} ({request_id})"})
    return Response(msgspec.json.encode(answer), 503 if busy else 200, dict(error.headers), JSON)


_operation = partial(
    Operation,
    summary="As X-AnyLabeling's server.",
    tag=_TAG,
    query=LooseQuery,
    answer=AnyLabelingAnswer,
    fails=_fails,
    failure=AnyLabelingAnswer,
)
OPERATIONS = (
    _operation(method="GET", path="/v1/models", handle=any_labeling_models),
    _operation(method="GET", path="/v1/models/{id}/info", handle=any_labeling_model),
    _operation(method="POST", path="/v1/predict", handle=any_labeling_predict, body=AnyLabelingRequest, errors=(503,)),
)
