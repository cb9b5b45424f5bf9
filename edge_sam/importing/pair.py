"""An encoder and a decoder of another maker, opened, with what lies around them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_sam.bundles.contract import CHANNELS, Contract
from edge_sam.bundles.manifest import Channels, Component, TensorSpec, Values
from edge_sam.errors import InputError, one_line
from edge_sam.imaging.preprocess import PIXEL_MEAN, PIXEL_STD
from edge_sam.imaging.view import FRAME
from edge_sam.importing.graph_file import open_graph, read_component
from edge_sam.importing.self_check import Preprocessing
from edge_sam.layouts import Layout, Pixels, adapt, find_layout
from edge_sam.runtimes import Session, Tensors


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the caller states about a model; None: find out.

    Attributes
    ----------
    values : str, optional
        What the encoder takes: normalised, 0-255 or 0-1.
    channels : str, optional
        rgb or bgr.
    padded : bool, optional
        Whether photographs are padded to a square. False: stretched.
    license : str
        Under which terms the model is.
    url : str
        Where it comes from.
    """

    values: Values | None = None
    channels: Channels | None = None
    padded: bool | None = None
    license: str = "unknown"
    url: str = ""


@dataclass
class LoadedPair:
    """The model with one preprocessing; see `edge_sam.inference.guard.ModelParts`."""

    contract: Contract
    encoder: Session
    decoder: Session
    padding: NDArray[np.float32] | None
    no_mask: NDArray[np.float32]


@dataclass(frozen=True)
class Pair:
    """An encoder and a decoder that belong together.

    Attributes
    ----------
    paths : tuple of Path
        Their files.
    components : tuple of Component
        Their entries for a manifest.
    sessions : tuple of Session
        The open graphs.
    layout : Layout
        Their layout.
    constants : mapping of str to ndarray
        Constant arrays for the bundle.
    """

    paths: tuple[Path, Path]
    components: tuple[Component, Component]
    sessions: tuple[Session, Session]
    layout: Layout
    constants: Tensors

    def parts(self, preprocessing: Preprocessing) -> LoadedPair:
        """Return the model with a preprocessing."""
        pixels = Pixels(PIXEL_MEAN, PIXEL_STD, preprocessing.values, preprocessing.channels)
        encoder, _, decoder = adapt(
            self.layout, pixels, self.components, self.sessions, self.constants.get("positions")
        )
        return LoadedPair(
            preprocessing.contract(self.layout.contract), encoder, decoder, None, self.constants["no_mask"]
        )

    def usual(self, given: Given) -> Preprocessing:
        """Return what such an encoder most likely wants: one of bytes, or without a batch, normalises itself.

        Raises
        ------
        InputError
            What was stated is impossible for the layout.
        """
        if given.padded and self.layout.contract.high_res:
            raise InputError(f"photographs are stretched, not padded, for {self.layout.makers}")
        spec = self.components[0].inputs[0]
        raw = spec.dtype == "uint8" or len(spec.shape) == 3
        return Preprocessing(
            given.values or ("0-255" if raw else self.layout.values[0]),
            given.channels or "rgb",
            self.layout.contract.fit.padded if given.padded is None else given.padded,
        )

    def free(self, given: Given) -> frozenset[str]:
        """Return the fields of `Preprocessing` that must be found out."""
        known = {name for name in ("values", "channels", "padded") if getattr(given, name) is not None}
        if self.components[0].inputs[0].dtype == "uint8":
            known.add("values")
        if self.layout.contract.high_res:
            known.add("padded")  # No family with further maps pads.
        return frozenset({"values", "channels", "padded"} - known)


def open_pair(encoder: Path, decoder: Path) -> Pair:
    """Open two files and find out their layout.

    Raises
    ------
    InputError
        A file is damaged, of an unknown layout, or takes another size, or they do not belong together.
    """
    first, second = read_component("encoder", encoder), read_component("decoder", decoder)
    if first.format != second.format and "openvino" in (first.format, second.format):
        raise InputError("encoder and decoder must both be of OpenVINO, or neither; convert one of them")
    sessions = open_graph(encoder, first.format), open_graph(decoder, second.format)
    first, outputs = _run_once(first, sessions[0])
    layout = find_layout(first, second)
    constants: Tensors = {"no_mask": np.zeros(CHANNELS, np.float32)}  # It is added inside the graph.
    if "positions" in layout.inputs:
        constants["positions"] = next(outputs[name] for name in layout.inputs["positions"])
    return Pair((encoder, decoder), (first, second), sessions, layout, constants)


def _run_once(encoder: Component, session: Session) -> tuple[Component, Tensors]:
    """Return the encoder's entry with the shapes that its outputs really have, and its outputs."""
    if len(encoder.inputs) != 1:
        return encoder, {}
    (spec,) = encoder.inputs
    image = np.zeros(_input_shape(encoder, spec), spec.dtype)
    try:
        outputs = session.run({spec.name: image})
    except Exception as error:  # Runtimes raise many unrelated classes.
        raise InputError(
            f"{encoder.file} does not encode a square of {FRAME} pixels, and no other size can be imported:"
            f" {one_line(error)}"
        ) from error
    shapes = tuple(TensorSpec(each.name, each.dtype, outputs[each.name].shape) for each in encoder.outputs)
    return msgspec.structs.replace(encoder, outputs=shapes), outputs


def _input_shape(encoder: Component, spec: TensorSpec) -> tuple[int, ...]:
    """Return the shape of the image for an encoder. Raises `InputError` if it takes another size, or several images."""
    square = (FRAME, FRAME, 3) if spec.shape[-1:] == (3,) else (3, FRAME, FRAME)
    wanted = square if len(spec.shape) == 3 else (1, *square)
    sizes = zip(spec.shape, wanted, strict=False)
    if len(spec.shape) != len(wanted) or any(isinstance(size, int) and size != ours for size, ours in sizes):
        raise InputError(
            f"{encoder.file} takes {spec.name} of shape {spec.shape}; only one image of {FRAME}×{FRAME} pixels a call"
            " can be imported"
        )
    return wanted
