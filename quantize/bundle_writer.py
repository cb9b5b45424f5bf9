"""Add a quantised precision to a bundle: its files and its entries in the manifest."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from edge_sam.bundles.bundle import Bundle
from edge_sam.bundles.draft import Draft, written
from edge_sam.bundles.graph_weights import write_graph
from edge_sam.bundles.manifest import Manifest, Measured
from edge_sam.quantize.accuracy import Accuracy
from edge_sam.quantize.job import QuantizedComponent

_SHARED = ("mask_encoder", "upscaling", "constants", "probe")
"""Roles whose files the quantised precision shares with the float precision."""


def add_components(
    draft: Draft, source: Bundle, quantized: Sequence[QuantizedComponent], precision: str, exact: str
) -> Manifest:
    """Write the components of a new precision.

    Parameters
    ----------
    draft : Draft
        A copy of `source`.
    source : Bundle
        The bundle that is quantised.
    quantized : sequence of QuantizedComponent
        Encoder and decoder.
    precision, exact : str
        The new precision, and the precision whose other components it shares.

    Returns
    -------
    Manifest
        The source's manifest with the new components.
    """
    components = list(source.manifest.components)
    for component in source.manifest.components:
        if component.role in _SHARED and component.precision == exact:
            components.append(msgspec.structs.replace(component, precision=precision))
    for part in quantized:
        like = source.component(part.role, exact, "onnx")
        tensors = {"opset": like.opset, "inputs": like.inputs, "outputs": like.outputs}
        files = write_graph(part.graph, draft.folder / f"{part.role}.{precision}.onnx")
        components.append(written(part.role, precision, "onnx", files, **tensors))
    return msgspec.structs.replace(source.manifest, components=tuple(components))


def measured(accuracy: Accuracy, precision: str, protocol: str) -> Measured:
    """Convert an accuracy to an entry of the manifest."""
    values = {}
    for prompt in accuracy.miou:
        values[f"{prompt} mIoU"] = accuracy.miou[prompt]
        values[f"{prompt} mIoU of the float model"] = accuracy.float_miou[prompt]
        values[f"{prompt} agreement"] = accuracy.agreement[prompt]
    if not accuracy.unseen:
        protocol += "; on photographs of the calibration set"
    return Measured(f"mIoU × 100 against {accuracy.truth}", precision, protocol, values)
