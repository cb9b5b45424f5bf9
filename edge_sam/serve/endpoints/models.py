"""The model, health and metrics."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import FileResponse, Response

from edge_sam.bundles.contract import ABSENT, BOTTOM_RIGHT, NOT_A_POINT, TOP_LEFT, Role
from edge_sam.bundles.manifest import Component
from edge_sam.errors import InputError
from edge_sam.imaging.geometry import CELL
from edge_sam.imaging.view import FRAME, TOKEN
from edge_sam.serve.browser import decoder_component, no_decoder
from edge_sam.serve.errors import HttpError
from edge_sam.serve.messages import (
    LONGEST_TEXT,
    DecoderFile,
    GraphFile,
    Health,
    MatcherAnswer,
    ModelAnswer,
    ModelEntry,
    ModelsAnswer,
)
from edge_sam.serve.operations import BYTES, Call, Operation
from edge_sam.serve.segmenter import Segmenter
from edge_sam.version import __version__

_LABELS = {"absent": ABSENT, "not_a_point": NOT_A_POINT, "off": 0, "on": 1, "top_left": TOP_LEFT}
BROWSER_RUNTIME = "/onnxruntime-web/"
"""Where the files of onnxruntime-web are served."""


async def health(call: Call) -> Health:
    """Tell that the server runs."""
    return health_of(call.segmenter)


def health_of(segmenter: Segmenter) -> Health:
    """Return the state of the server."""
    name = segmenter.predictor.bundle.manifest.name
    return Health("UP", name, "edge_sam", 1, __version__, segmenter.text is not None)


async def models(call: Call) -> ModelsAnswer:
    """List the models that answer here."""
    predictor = call.segmenter.predictor
    manifest = predictor.bundle.manifest
    has_text = call.segmenter.text is not None
    return ModelsAnswer([ModelEntry(manifest.name, manifest.family, predictor.precision, has_text)])


async def model(call: Call) -> ModelAnswer:
    """Describe the model."""
    segmenter = call.segmenter
    predictor, settings = segmenter.predictor, segmenter.settings
    manifest, contract, facts = predictor.bundle.manifest, predictor.bundle.contract, predictor.facts
    long_side, square = contract.view(segmenter.view.long_side, segmenter.view.square)
    return ModelAnswer(
        name=manifest.name,
        family=manifest.family,
        license=manifest.source.license,
        source_sha256=facts.weights,
        precision=facts.precision,
        runtime=facts.runtime,
        provider=facts.provider,
        long_side=long_side,
        square=square,
        mask_threshold=0.0,
        mask_prompts=contract.masks,
        pad_boxes=contract.pad_boxes,
        frame=FRAME,
        token=TOKEN,
        cell=CELL,
        labels={**_LABELS, "bottom_right": BOTTOM_RIGHT},
        decoder=_decoder(segmenter),
        matcher=_matcher(segmenter),
        max_prompts=settings.max_prompts,
        max_body_mb=settings.max_body_mb,
        max_megapixels=settings.max_megapixels,
    )


def _decoder(segmenter: Segmenter) -> DecoderFile | None:
    component = decoder_component(segmenter.predictor)
    if component is None:
        return None
    second = decoder_component(segmenter.predictor, "upscaling")
    return DecoderFile(
        **_described(component),
        precision=component.precision,
        upscaling=None if second is None else GraphFile(**_described(second)),
        runtime_url=None if segmenter.settings.browser_runtime is None else BROWSER_RUNTIME,
    )


def _matcher(segmenter: Segmenter) -> MatcherAnswer | None:
    text = segmenter.text
    if text is None:
        return None
    facts = text.matcher.facts
    return MatcherAnswer(
        layout=facts.matcher,
        kind="similarity" if text.compares else "boxes",
        precision=facts.matcher_precision,
        provider=facts.matcher_provider,
        threshold=text.threshold,
        max_texts=segmenter.settings.max_texts,
        max_text_length=LONGEST_TEXT,
    )


def _described(component: Component) -> dict[str, Any]:
    """Return the fields of a `GraphFile`."""
    return {
        "url": f"/model/{component.role}.onnx",
        "bytes": component.bytes,
        "sha256": component.sha256,
        "inputs": [msgspec.to_builtins(each) for each in component.inputs],
        "outputs": [msgspec.to_builtins(each) for each in component.outputs],
    }


async def decoder(call: Call) -> Response:
    """Return the decoder's file."""
    return await _graph(call, "decoder")


async def upscaling(call: Call) -> Response:
    """Return the file of the decoder's second part."""
    return await _graph(call, "upscaling")


async def _graph(call: Call, role: Role) -> Response:
    component = decoder_component(call.segmenter.predictor, role)
    if component is None:
        raise no_decoder()
    # Another model may answer at this address after a restart, so a browser asks whether its copy is still right.
    headers = {"Cache-Control": "private, no-cache", "ETag": f'"{component.sha256}"'}
    if headers["ETag"] in call.request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    try:
        file = await asyncio.to_thread(call.segmenter.predictor.bundle.verified_file, component)
    except InputError as error:
        raise HttpError(503, "unavailable", "the decoder's file is damaged; make or pull the bundle again") from error
    return FileResponse(file, headers=headers, media_type=BYTES)


async def metrics(call: Call) -> Response:
    """Return figures for Prometheus."""
    return Response(call.segmenter.metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})


OPERATIONS = (
    Operation(method="GET", path="/health", handle=health, summary="Whether the server runs.", answer=Health),
    Operation(method="GET", path="/models", handle=models, summary="The models.", answer=ModelsAnswer),
    Operation(method="GET", path="/model", handle=model, summary="The model in detail.", answer=ModelAnswer),
    Operation(
        method="GET",
        path="/model/decoder.onnx",
        handle=decoder,
        summary="The decoder, to run in a browser.",
        media=BYTES,
        errors=(404, 503),
    ),
    Operation(
        method="GET",
        path="/model/upscaling.onnx",
        handle=upscaling,
        summary="The second part of a decoder in two.",
        media=BYTES,
        errors=(404, 503),
    ),
    Operation(method="GET", path="/metrics", handle=metrics, summary="Figures for Prometheus.", media="text/plain"),
)
