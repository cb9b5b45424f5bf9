"""What a page needs to decode in the browser: the decoder, and its inputs about a photograph."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_sam.bundles.contract import Role
from edge_sam.bundles.manifest import Component
from edge_sam.bundles.precisions import stored_as
from edge_sam.embedding import ImageEmbedding
from edge_sam.inference.token_list import decoder_tokens
from edge_sam.predictor import Predictor
from edge_sam.serve.errors import HttpError

_KINDS = {"f4": "F32", "f2": "F16", "i8": "I64"}
_ALIGNED = 8


def decoder_component(predictor: Predictor, role: Role = "decoder") -> Component | None:
    """Return the decoder, or its part `upscaling`, as an ONNX file. None: the bundle has none of this package's."""
    bundle = predictor.bundle
    if bundle.layout is not None:
        return None
    found = (c for c in bundle.manifest.components if (c.role, c.format) == (role, "onnx"))
    decoders = {component.precision: component for component in found}
    return decoders.get(stored_as(predictor.precision)) or next(iter(decoders.values()), None)


def no_decoder() -> HttpError:
    """Return the error for a model that only the server can decode."""
    return HttpError(404, "no_decoder", "this model has no decoder for browsers; let the server decode")


def decoder_inputs(predictor: Predictor, embedding: ImageEmbedding) -> dict[str, NDArray[Any]]:
    """Return the decoder's inputs for prompts without a mask, all but the points; docs/bundle.md lists them."""
    model = predictor.model.active
    geometry = embedding.geometry
    listed = model.listed_tokens(geometry.token_size)
    inputs: dict[str, NDArray[Any]] = decoder_tokens((embedding.features + model.no_mask)[None], listed)
    inputs.update({name: each[None] for name, each in embedding.high_res.items()})
    if geometry.fit.padded:
        inputs["token_size"] = np.array(geometry.token_size, np.int64)
    return inputs


def raw_tensors(arrays: dict[str, NDArray[Any]], facts: dict[str, str], dtype: str) -> bytes:
    """Write arrays one after the other behind a JSON header, in the format of safetensors.

    The file is: the header's length as a little-endian 64-bit integer; the header, ``{name: {dtype, shape,
    data_offsets}}`` with offsets from its end, filled up with spaces to a multiple of 8; the little-endian data.

    Parameters
    ----------
    arrays : dict of str to ndarray
        float32 or int64.
    facts : dict of str to str
        Goes into the header as ``__metadata__``.
    dtype : str
        Type for the float32 arrays: float32, or float16 for half the bytes.
    """
    header: dict[str, Any] = {"__metadata__": facts}
    parts: list[bytes] = []
    offset = 0
    ordered = sorted(arrays.items(), key=lambda item: item[1].dtype.kind == "f")  # 64-bit integers stay aligned.
    for name, array in ordered:
        kind = np.dtype(dtype if array.dtype.kind == "f" else array.dtype).newbyteorder("<")
        data = np.ascontiguousarray(array, kind).tobytes()
        header[name] = {
            "dtype": _KINDS[kind.str[1:]],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + len(data)],
        }
        parts.append(data)
        offset += len(data)
    text = msgspec.json.encode(header)
    text += b" " * (-len(text) % _ALIGNED)
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])
