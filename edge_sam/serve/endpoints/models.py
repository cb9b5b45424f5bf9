"""The model, health and metrics."""

from __future__ import annotations

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import FileResponse, Response

from edge_sam.bundles.contract import ABSENT, BOTTOM_RIGHT, NOT_A_POINT, TOP_LEFT
from edge_sam.errors import InputError
from edge_sam.imaging.geometry import CELL
from edge_sam.imaging.view import FRAME, TOKEN
from edge_sam.serve.browser import decoder_component, no_decoder
from edge_sam.serve.errors import HttpError
from edge_sam.serve.messages import DecoderFile, Health, ModelAnswer, ModelEntry, ModelsAnswer
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
    return Health("UP", segmenter.predictor.bundle.manifest.name, "edge_sam", 1, __version__)


async def models(call: Call) -> ModelsAnswer:
    """List the models that answer here."""
    predictor = call.segmenter.predictor
    manifest = predictor.bundle.manifest
    return ModelsAnswer([ModelEntry(manifest.name, manifest.family, predictor.precision)])


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
        max_prompts=settings.max_prompts,
        max_body_mb=settings.max_body_mb,
        max_megapixels=settings.max_megapixels,
    )


def _decoder(segmenter: Segmenter) -> DecoderFile | None:
    component = decoder_component(segmenter.predictor)
    if component is None:
        return None
    inputs, outputs = (
        [msgspec.to_builtins(each) for each in tensors] for tensors in (component.inputs, component.outputs)
    )
    runtime = None if segmenter.settings.browser_runtime is None else BROWSER_RUNTIME
    return DecoderFile(
        "/model/decoder.onnx", component.bytes, component.sha256, component.precision, inputs, outputs, runtime
    )


async def decoder(call: Call) -> Response:
    """Return the decoder's file."""
    component = decoder_component(call.segmenter.predictor)
    if component is None:
        raise no_decoder()
    headers = {"Cache-Control": "private, max-age=86400", "ETag": f'"{component.sha256}"'}
    try:
        file = call.segmenter.predictor.bundle.verified_file(component)
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
    Operation(method="GET", path="/metrics", handle=metrics, summary="Figures for Prometheus.", media="text/plain"),
)
