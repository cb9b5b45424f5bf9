"""Everything mode as a stream of lines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import fields
from typing import Union

import msgspec
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Send

from edge_sam.everything.generator import Update
from edge_sam.everything.records import MaskRecord
from edge_sam.everything.search import Found
from edge_sam.everything.settings import EverythingSettings
from edge_sam.serve.errors import HttpError, as_http_error
from edge_sam.serve.images import ServedImage
from edge_sam.serve.messages import EverythingLine, MaskAnswer, Rle, Text
from edge_sam.serve.operations import Call, Operation
from edge_sam.serve.words import check_texts, label_masks

_Steps = AsyncGenerator[tuple[Found, Update], None]
NDJSON = "application/x-ndjson"
EverythingBody = msgspec.defstruct(
    "EverythingBody",
    [
        (each.name, Union[each.type, msgspec.UnsetType], msgspec.UNSET)  # noqa: UP007 (a type that is not written here)
        for each in fields(EverythingSettings)
    ]
    + [("text", list[Text] | None, None)],
    namespace={"__doc__": "Settings of everything mode, all optional, and texts to label the masks with."},
    forbid_unknown_fields=True,
)


async def everything(call: Call) -> Response:
    """Find all masks of a photograph."""
    image = await call.segmenter.find(call.request.path_params["id"])
    if call.body.text is not None:
        check_texts(call.segmenter, call.body.text)
    start = time.perf_counter()
    steps = call.segmenter.search(image, _settings(call), call.request)
    first = await anext(steps)  # What fails before the first line has a status of its own.
    lines = _lines(call, image, first, steps, start)
    return _Stream(lines, steps, call.segmenter.settings.upload_timeout)


class _Stream(StreamingResponse):
    """Lines for a client that takes each one in time. Another would hold its place among the searches."""

    def __init__(self, lines: AsyncGenerator[bytes, None], steps: _Steps, seconds: float) -> None:
        super().__init__(lines, media_type=NDJSON, headers={"X-Accel-Buffering": "no"})
        self._lines, self._steps, self._seconds = lines, steps, seconds

    async def stream_response(self, send: Send) -> None:
        async def in_time(message: Message) -> None:
            try:
                await asyncio.wait_for(send(message), self._seconds)
            except asyncio.TimeoutError:
                raise HttpError(408, "slow_client", "the client does not take what it asked for") from None

        try:
            await super().stream_response(in_time)
        finally:
            await self._lines.aclose()
            await self._steps.aclose()


def _settings(call: Call) -> EverythingSettings:
    """Return the settings of a request. The view that it leaves open is as the server was told."""
    settings = {name: value for name, value in vars(call.segmenter.view).items() if value is not None}
    for each in fields(EverythingSettings):
        value = getattr(call.body, each.name)
        if value is not msgspec.UNSET:
            settings[each.name] = value
    return EverythingSettings(**settings)


async def _lines(
    call: Call, image: ServedImage, first: tuple[Found, Update], steps: _Steps, start: float
) -> AsyncGenerator[bytes, None]:
    """Write one line for each mask, the labels if there are texts, and the summary."""
    present: dict[int, MaskRecord] = {}
    step: tuple[Found, Update] | None = first
    try:
        while step is not None:
            found, update = step
            for number, record in update.added.items():
                yield _line(_mask(number, record))
            if update.removed:
                yield _line(EverythingLine(removed=update.removed))
            present |= update.added
            for number in update.removed:
                present.pop(number, None)
            step = await anext(steps, None)
        if call.body.text is not None:
            yield _line(await _labels(call, image, present, call.body.text))
        seconds = round(time.perf_counter() - start, 3)
        summary = {"masks": sorted(present), "asked": found.asked, "points": found.points, "seconds": seconds}
        yield _line(EverythingLine(summary=summary))
    except Exception as error:
        yield _line(_error(call, error))


async def _labels(call: Call, image: ServedImage, masks: dict[int, MaskRecord], texts: list[str]) -> EverythingLine:
    """Label the masks. They are whole without labels too, so an error does not end the stream."""
    try:
        return EverythingLine(labels=await label_masks(call.segmenter, image, masks, texts, call.request))
    except Exception as error:
        return _error(call, error)


def _error(call: Call, error: Exception) -> EverythingLine:
    known = as_http_error(error, call.request.state.request_id)
    return EverythingLine(error={"code": known.code, "message": known.message})


def _mask(number: int, record: MaskRecord) -> EverythingLine:
    x, y, width, height = record["bbox"]
    rle = Rle(tuple(record["segmentation"]["size"]), record["segmentation"]["counts"])
    mask = MaskAnswer(record["predicted_iou"], (x, y, x + width, y + height), record["area"], rle=rle)
    (point,) = record["point_coords"]
    return EverythingLine(id=number, mask=mask, stability=record["stability_score"], point=(point[0], point[1]))


def _line(value: EverythingLine) -> bytes:
    return msgspec.json.encode(value) + b"\n"


OPERATIONS = (
    Operation(
        method="POST",
        path="/images/{id}/everything",
        handle=everything,
        summary="All masks of a photograph, a line of JSON for each as it is found; the last line is the summary.",
        body=EverythingBody,
        answer=EverythingLine,
        media=NDJSON,
        errors=(404, 408, 413, 415, 429, 503, 504),
    ),
)
