"""The remote server of X-AnyLabeling."""

from __future__ import annotations

from collections.abc import Callable
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
from edge_sam.serve.messages import LONGEST_TEXT, LooseQuery, Share
from edge_sam.serve.operations import JSON, Call, Operation
from edge_sam.serve.segmenter import Segmenter
from edge_sam.serve.words import check_texts, find_words

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
_TEXT_WIDGETS = (("edit_text", None), ("button_send", None), ("input_conf", None))
"""Parts for a text, without the field that has the threshold."""
_SEPARATORS = ",."
"""Of several texts in one, as the client's own server takes them: the first that the text has."""


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
    """One text, or several with commas or full stops between them."""
    conf_threshold: Share = 0.0
    """Least score of a text's mask; 0, the client's default: as suits the matcher."""
    iou_threshold: Share = 0.0
    """Overlap above which the worse of two objects is dropped; 0, the client's default: as the server was told."""


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
    shapes: list[list[AnyLabelingShape]] = []
    convert = partial(_shapes, epsilon_factor=body.params.epsilon_factor)
    if body.params.text_prompt:
        texts = _texts(body.params.text_prompt, call.segmenter.settings.max_texts)
        shapes = await _by_words(call, body, texts, convert)
    elif prompts := _prompts(body.params, call.segmenter.settings.max_prompts + 1):
        image, _ = await call.segmenter.encode(await photograph_in(body.image), request=call.request)
        shapes, _ = await call.segmenter.predict(image, prompts, convert, multimask=False, request=call.request)
    return AnyLabelingAnswer(True, {"shapes": list(chain(*shapes)), "description": "", "replace": False})


async def _by_words(
    call: Call, body: AnyLabelingRequest, texts: list[str], convert: Callable[[Result], list[AnyLabelingShape]]
) -> list[list[AnyLabelingShape]]:
    """Answer texts: the shapes of each mask, named by its words."""
    check_texts(call.segmenter, texts)  # Before the photograph is encoded.
    image, _ = await call.segmenter.encode(await photograph_in(body.image), request=call.request)
    found = await find_words(
        call.segmenter,
        image,
        texts,
        convert,
        request=call.request,
        threshold=body.params.conf_threshold or None,
        overlap=body.params.iou_threshold or None,
    )
    return [
        [msgspec.structs.replace(shape, label=each.word, score=each.score) for shape in shapes]
        for each, shapes in found.masks
    ]


def _texts(text: str, most: int) -> list[str]:
    """Split a text of the client into texts, if it is not longer than `most` of them can be."""
    if len(text) > (longest := most * (LONGEST_TEXT + 1)):
        raise HttpError(413, "too_many_texts", f"text_prompt is longer than {longest} characters; ask for less at once")
    separator = next((each for each in _SEPARATORS if each in text), None)
    parts = [text] if separator is None else text.split(separator)
    return [part for part in parts if part.strip()]


def _id(segmenter: Segmenter) -> str:
    return segmenter.predictor.bundle.manifest.name


def _info(segmenter: Segmenter) -> dict[str, Any]:
    text = segmenter.text
    widgets = _WIDGETS if text is None else (*_TEXT_WIDGETS, ("edit_conf", text.threshold), *_WIDGETS)
    return {
        "display_name": f"edge_sam {_id(segmenter)}",
        "widgets": [{"name": name, "value": value} for name, value in widgets],
        "params": {},
        "capabilities": {},
        "batch_processing_mode": None if text is None else "text_prompt",
    }


def _check_model(segmenter: Segmenter, id: str) -> None:
    if id != _id(segmenter):
        raise HttpError(404, "MODEL_NOT_FOUND", f"this server has the model {_id(segmenter)} only")


def _prompts(params: AnyLabelingParams, most: int) -> list[Prompt]:
    """Return a prompt for each of the first `most` rectangles, with all points, or one for the points alone."""
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
