"""Photographs: upload, masks, embedding."""

from __future__ import annotations

import asyncio
from functools import partial

import msgspec
from starlette.responses import Response

from edge_sam.prompts import Prompt
from edge_sam.serve.bodies import photograph_of
from edge_sam.serve.browser import decoder_component, decoder_inputs, no_decoder, raw_tensors
from edge_sam.serve.images import ServedImage
from edge_sam.serve.mask_formats import prompt_answer, read_logits
from edge_sam.serve.messages import (
    EmbeddingQuery,
    ImageAnswer,
    MasksAnswer,
    MasksBody,
    PromptBody,
    UploadQuery,
)
from edge_sam.serve.operations import BYTES, JSON, PHOTOGRAPH, Call, Operation
from edge_sam.serve.segmenter import Segmenter


async def upload(call: Call) -> Response:
    """Encode a photograph."""
    photograph = await photograph_of(call.request, call.body)
    image, cached = await call.segmenter.encode(
        photograph, long_side=call.query.long_side, square=call.query.square, request=call.request
    )
    geometry = image.embedding.geometry
    height, width = geometry.image_size
    answer = ImageAnswer(
        image.id,
        width,
        height,
        cached,
        geometry.long_side,
        geometry.square,
        geometry.logit_size,
        {} if cached else dict(image.embedding.timings),
    )
    headers = {"Location": f"/images/{image.id}"}
    return Response(msgspec.json.encode(answer), 200 if cached else 201, headers, JSON)


async def masks(call: Call) -> MasksAnswer:
    """Answer prompts."""
    body: MasksBody = call.body
    image = await call.segmenter.find(call.request.path_params["id"])
    prompts = [to_prompt(each, image) for each in body.prompts[: call.segmenter.settings.max_prompts + 1]]
    convert = partial(prompt_answer, format=body.format, logits=body.logits)
    results, timings = await call.segmenter.predict(
        image, prompts, convert, multimask=body.multimask, prefer=body.prefer, request=call.request
    )
    return MasksAnswer(results, timings)


async def embedding(call: Call) -> Response:
    """Return the embedding of a photograph."""
    image = await call.segmenter.find(call.request.path_params["id"])
    if call.query.format == "raw" and decoder_component(call.segmenter.predictor) is None:
        raise no_decoder()
    raw = partial(_raw, call.segmenter, call.query.dtype, image)
    data = await asyncio.to_thread(raw if call.query.format == "raw" else image.embedding.to_bytes)
    return Response(data, headers={"Cache-Control": "private, max-age=86400, immutable"}, media_type=BYTES)


def to_prompt(body: PromptBody, image: ServedImage) -> Prompt:
    """Convert the prompt of a request. Raises `InputError`."""
    mask = None if body.mask is None else read_logits(body.mask, image.embedding.geometry.logit_size)
    return Prompt(body.points, body.labels, body.box, mask)


def _raw(segmenter: Segmenter, dtype: str, image: ServedImage) -> bytes:
    geometry = image.embedding.geometry
    sizes = {
        "image_size": geometry.image_size,
        "scaled_size": geometry.scaled_size,
        "cell_size": geometry.cell_size,
        "logit_size": geometry.logit_size,
    }
    facts = {name: msgspec.json.encode(size).decode() for name, size in sizes.items()}
    return raw_tensors(decoder_inputs(segmenter.predictor, image.embedding), {"id": image.id, **facts}, dtype)


OPERATIONS = (
    Operation(
        method="POST",
        path="/images",
        handle=upload,
        summary="Encode a photograph; the same bytes always get the same id.",
        query=UploadQuery,
        body=PHOTOGRAPH,
        answer=ImageAnswer,
        status=201,
        errors=(408, 413, 415, 429, 503, 504),
    ),
    Operation(
        method="POST",
        path="/images/{id}/masks",
        handle=masks,
        summary="Segment what prompts mean.",
        body=MasksBody,
        answer=MasksAnswer,
        errors=(404, 408, 413, 429, 503, 504),
    ),
    Operation(
        method="GET",
        path="/images/{id}/embedding",
        handle=embedding,
        summary="The embedding: a file for edge_sam.ImageEmbedding.load, or raw tensors for the decoder in a browser.",
        query=EmbeddingQuery,
        media=BYTES,
        errors=(404,),
    ),
)
