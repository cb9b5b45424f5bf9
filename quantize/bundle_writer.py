"""What a quantised precision adds to a bundle: its files and its entries in the manifest."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from edge_sam.bundles.bundle import Bundle
from edge_sam.bundles.draft import Draft
from edge_sam.bundles.manifest import Manifest, Measured
from edge_sam.quantize.accuracy import Accuracy
from edge_sam.quantize.work import Part

_SHARED = ("mask_encoder", "constants", "probe")
"""Roles whose files the quantised precision shares with the float one."""


def add_parts(draft: Draft, source: Bundle, parts: Sequence[Part], precision: str, exact: str) -> Manifest:
    """Write components of a new precision.

    Parameters
    ----------
    draft : Draft
        A copy of `source`.
    source : Bundle
        What was quantised.
    parts : sequence of Part
        Encoder and decoder.
    precision, exact : str
        The new precision, and that whose other components it shares.

    Returns
    -------
    Manifest
        The source's, with the new components.
    """
    components = list(source.manifest.components)
    for component in source.manifest.components:
        if component.role in _SHARED and component.precision == exact:
            components.append(msgspec.structs.replace(component, precision=precision))
    for part in parts:
        like = source.component(part.role, exact, "onnx")
        tensors = {"opset": like.opset, "inputs": like.inputs, "outputs": like.outputs}
        components.append(draft.write(part.role, precision, "onnx", part.data, **tensors))
    return msgspec.structs.replace(source.manifest, components=tuple(components))


def measured(accuracy: Accuracy, precision: str, protocol: str) -> Measured:
    """Put an accuracy into the words of a manifest."""
    values = {}
    for prompt in accuracy.miou:
        values[f"{prompt} mIoU"] = accuracy.miou[prompt]
        values[f"{prompt} mIoU of the float model"] = accuracy.float_miou[prompt]
        values[f"{prompt} agreement"] = accuracy.agreement[prompt]
    if not accuracy.unseen:
        protocol += "; on photographs that it was calibrated with"
    return Measured(f"mIoU × 100 against {accuracy.truth}", precision, protocol, values)
