"""Masks of what words describe."""

from __future__ import annotations

from functools import partial

import msgspec

from edge_sam.result import Result
from edge_sam.serve.mask_formats import prompt_answer
from edge_sam.serve.messages import Format, MaskAnswer, TextAnswer, TextBody, TextMaskAnswer
from edge_sam.serve.operations import Call, Operation
from edge_sam.serve.words import find_words


async def text(call: Call) -> TextAnswer:
    """Segment what words describe."""
    body: TextBody = call.body
    image = await call.segmenter.find(call.request.path_params["id"])
    found = await find_words(
        call.segmenter,
        image,
        body.text,
        partial(_mask, format=body.format),
        request=call.request,
        top=body.top,
        threshold=body.threshold,
        overlap=body.overlap,
        exclusive=body.exclusive,
    )
    masks = [
        TextMaskAnswer(
            **{**msgspec.structs.asdict(mask), "score": each.score}, text=each.word, predicted_iou=mask.score
        )
        for each, mask in found.masks
    ]
    return TextAnswer(masks, found.absent, found.threshold, found.timings)


def _mask(result: Result, format: Format) -> MaskAnswer:
    (answer,) = prompt_answer(result, format, logits=False).masks
    return answer


OPERATIONS = (
    Operation(
        method="POST",
        path="/images/{id}/text",
        handle=text,
        summary="Segment what words describe. The server needs a matcher.",
        body=TextBody,
        answer=TextAnswer,
        errors=(404, 408, 413, 415, 429, 503, 504),
    ),
)
