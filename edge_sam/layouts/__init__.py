"""Layouts of ONNX files that other exporters write, told by the names and shapes of their inputs and outputs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_sam.bundles.manifest import Component, ForeignLayout, Manifest
from edge_sam.errors import InputError
from edge_sam.layouts.efficient_sam import EFFICIENT_SAM
from edge_sam.layouts.hugging_face import HF_SAM, HF_SAM2
from edge_sam.layouts.layout import Layout, Pixels
from edge_sam.layouts.official_edge_sam import EDGE_SAM
from edge_sam.layouts.sam import SAM
from edge_sam.layouts.sam2 import SAM2
from edge_sam.layouts.sessions import ForeignDecoder, ForeignEncoder, MaskPrompt
from edge_sam.runtimes import Session

__all__ = ["LAYOUTS", "Layout", "Pixels", "adapt", "find_layout", "named_layout", "pixels_of"]

LAYOUTS = {layout.name: layout for layout in (SAM, SAM2, EDGE_SAM, EFFICIENT_SAM, HF_SAM, HF_SAM2)}
"""By name."""


def find_layout(encoder: Component, decoder: Component) -> Layout:
    """Return the layout of a pair of graphs.

    Parameters
    ----------
    encoder, decoder : Component
        With their inputs and outputs.

    Raises
    ------
    InputError
        One of the two is something else, or they do not belong together.
    """
    layout = next((each for each in LAYOUTS.values() if each.bind(decoder)), None)
    if layout is None:
        hint = "docs/import.md lists the layouts that are known"
        if any(each.bind(encoder) for each in LAYOUTS.values()):
            hint = "give the encoder first"
        elif "image_tokens" in {tensor.name for part in (encoder, decoder) for tensor in part.inputs}:
            hint = "these are graphs of a bundle of edge_sam: give its folder as the model"
        names = ", ".join(tensor.name for tensor in decoder.inputs) or "none"
        raise InputError(f"{decoder.file} is not a mask decoder of a known layout (its inputs: {names}); {hint}")
    if len(encoder.inputs) != 1:
        names = ", ".join(tensor.name for tensor in encoder.inputs)
        raise InputError(f"{encoder.file} is not an image encoder: it has the inputs {names} instead of one image")
    if layout.maps(encoder) is None:
        maps = ", ".join(f"{tensor.name} {tensor.shape}" for tensor in encoder.outputs)
        raise InputError(
            f"{encoder.file} does not belong to {decoder.file}: that is a decoder of {layout.makers}, but the encoder"
            f" gives {maps}"
        )
    return layout


def named_layout(name: str) -> Layout:
    """Return a layout by name. Raises `InputError` if this version knows none of that name."""
    if name not in LAYOUTS:
        raise InputError(f"unknown layout {name!r}; known: {', '.join(LAYOUTS)}; upgrade with: pip install -U edge-sam")
    return LAYOUTS[name]


def pixels_of(manifest: Manifest) -> Pixels:
    """Return how the encoder of an imported bundle wants the pixels."""
    layout = manifest.layout
    if not isinstance(layout, ForeignLayout):
        return Pixels(manifest.pixel_mean, manifest.pixel_std)
    return Pixels(manifest.pixel_mean, manifest.pixel_std, layout.values, layout.channels)


def adapt(
    layout: Layout,
    pixels: Pixels,
    components: tuple[Component, Component],
    sessions: tuple[Session, ...],
    positions: NDArray[np.float32] | None = None,
) -> tuple[Session, Session, Session]:
    """Return encoder, mask encoder and decoder with the names of docs/bundle.md, from foreign ones.

    Parameters
    ----------
    layout : Layout
        Layout of the graphs.
    pixels : Pixels
        How the encoder wants the pixels.
    components, sessions : tuple
        The entries of encoder and decoder in the manifest, and their sessions.
    positions : ndarray of float32, (1, 256, 64, 64), optional
        The encoder's positions of the image tokens, if the decoder takes them.
    """
    encoder = ForeignEncoder(sessions[0], components[0], layout, pixels)
    decoder = ForeignDecoder(sessions[1], components[1], layout, positions)
    return encoder, MaskPrompt(layout, decoder), decoder
