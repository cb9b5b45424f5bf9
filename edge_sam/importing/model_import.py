"""From two files of another maker to a bundle."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_sam.bundles.bundle import Bundle
from edge_sam.bundles.contract import CHANNELS, Contract
from edge_sam.bundles.draft import Draft, entry
from edge_sam.bundles.manifest import (
    SCHEMA,
    Channels,
    CheckpointSource,
    Companion,
    Component,
    ForeignLayout,
    MadeBy,
    Manifest,
    Measured,
    TensorSpec,
    Values,
)
from edge_sam.bundles.zoo import combined_sha256
from edge_sam.errors import InputError
from edge_sam.imaging.view import FRAME
from edge_sam.importing.graph_file import RUNTIMES, open_graph, read_component
from edge_sam.importing.self_check import Preprocessing, Scores, best_preprocessing, scene_score
from edge_sam.inference.guard import run_probe
from edge_sam.layouts import Layout, Pixels, adapt, find_layout
from edge_sam.runtimes import Session, Tensors

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Normalisation of SAM and of ImageNet, in pixel values."""
UNKNOWN = "unknown"


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
    license: str = UNKNOWN
    url: str = ""


class Imported(NamedTuple):
    """A bundle, and the mean IoU with a drawn scene of each preprocessing that was tried."""

    bundle: Bundle
    scores: Scores


@dataclass
class _Parts:
    contract: Contract
    encoder: Session
    decoder: Session
    padding: None
    no_mask: NDArray[np.float32]


def import_model(
    encoder: Path,
    decoder: Path,
    output: Path,
    given: Given = Given(),
    *,
    overwrite: bool = False,
    progress: Callable[[str], object] = lambda _: None,
) -> Imported:
    """Make a bundle of an encoder and a decoder that another exporter wrote.

    Parameters
    ----------
    encoder, decoder : Path
        ``.onnx``, ``.ort`` or OpenVINO's ``.xml``.
    output : Path
        Folder to make.
    given : Given
        What is known about the model.
    overwrite : bool
        Whether an existing bundle may be replaced.
    progress : callable
        Called with a description of each step.

    Raises
    ------
    InputError
        A file is damaged, they do not belong together or are of an unknown layout, or the model does not segment a
        drawn scene.
    """
    draft = Draft(output, overwrite=overwrite)
    progress(f"reading {encoder.name} and {decoder.name}")
    pair = read_component("encoder", encoder), read_component("decoder", decoder)
    if pair[0].format != pair[1].format and "openvino" in (pair[0].format, pair[1].format):
        raise InputError("encoder and decoder must both be of OpenVINO, or neither; convert one of them")
    sessions = tuple(open_graph(path, part.format) for path, part in zip((encoder, decoder), pair, strict=True))
    seen, outputs = _seen(pair[0], sessions[0])
    pair = seen, pair[1]
    layout = find_layout(*pair)
    constants = {"no_mask": np.zeros(CHANNELS, np.float32)}  # Added inside the graph.
    if "positions" in layout.inputs:
        constants["positions"] = outputs[layout.inputs["positions"][0]]
    usual = Preprocessing(
        given.values or _usual_values(pair[0], layout),
        given.channels or "rgb",
        layout.contract.fit.padded if given.padded is None else given.padded,
    )

    def parts(tried: Preprocessing) -> _Parts:
        pixels = Pixels(MEAN, STD, tried.values, tried.channels)
        made, _, answering = adapt(layout, pixels, pair, sessions, constants.get("positions"))
        return _Parts(tried.contract(layout.contract), made, answering, None, constants["no_mask"])

    def score(tried: Preprocessing) -> float:
        progress(f"segmenting a drawn scene ({tried})")
        made = parts(tried)
        return scene_score(made.contract, made.encoder, made.decoder, MEAN, STD, made.no_mask, layout.boxes)

    best, scores = best_preprocessing(usual, _free(pair[0], layout, given), layout.values, score)
    found = parts(best)
    with draft:
        precision = pair[0].precision
        components = [
            _copied(draft.folder, path, part, precision) for path, part in zip((encoder, decoder), pair, strict=True)
        ]
        components.append(draft.write("constants", precision, "npz", _npz(constants)))
        components.append(draft.write("probe", precision, "npz", _npz(run_probe(found))))
        chosen = ForeignLayout(layout.name, best.values, best.channels)
        digests = {"encoder": pair[0].sha256, "decoder": pair[1].sha256}
        digests |= {"preprocessing": combined_sha256({str(best): "", layout.name: ""})}
        manifest = Manifest(
            schema=SCHEMA,
            name=draft.output.name,
            family=layout.name,
            source=CheckpointSource(
                f"{encoder.name}, {decoder.name}", combined_sha256(digests), given.url, given.license
            ),
            made_by=MadeBy(
                f"edge-sam import {encoder.name} {decoder.name} --output {draft.output.name}",
                {name: version(name) for name in ("edge-sam", RUNTIMES[pair[0].format])},
            ),
            frame=FRAME,
            pixel_mean=MEAN,
            pixel_std=STD,
            components=tuple(components),
            measured=(
                Measured(
                    "mean IoU with the objects of a drawn scene, by preprocessing",
                    precision,
                    "a point and a box on each of 4 objects, the mask with the best predicted IoU",
                    {str(tried): round(value, 4) for tried, value in scores.items()},
                ),
            ),
            contract=found.contract,
            layout=chosen,
        )
        return Imported(draft.finish(manifest), scores)


def _seen(encoder: Component, session: Session) -> tuple[Component, Tensors]:
    """Run an encoder once. Return its entry with the shapes that its outputs really have, and the outputs."""
    if len(encoder.inputs) != 1:
        return encoder, {}
    (spec,) = encoder.inputs
    image = np.zeros(_input_shape(encoder, spec), spec.dtype)
    try:
        outputs = session.run({spec.name: image})
    except Exception as error:  # Runtimes raise many unrelated classes.
        raise InputError(
            f"{encoder.file} does not encode a square of {FRAME} pixels, which is all that can be imported: {error}"
        ) from error
    shapes = tuple(TensorSpec(each.name, each.dtype, outputs[each.name].shape) for each in encoder.outputs)
    return msgspec.structs.replace(encoder, outputs=shapes), outputs


def _input_shape(encoder: Component, spec: TensorSpec) -> tuple[int, ...]:
    """Return the shape of the image for an encoder. Raises `InputError` if it takes another size or several."""
    square = (FRAME, FRAME, 3) if spec.shape[-1] == 3 else (3, FRAME, FRAME)
    wanted = square if len(spec.shape) == 3 else (1, *square)
    fits = all(isinstance(size, str) or size == ours for size, ours in zip(spec.shape, wanted, strict=False))
    if len(spec.shape) != len(wanted) or not fits:
        raise InputError(
            f"{encoder.file} takes {spec.name} of shape {spec.shape}; only one image of {FRAME}×{FRAME} pixels a call"
            " can be imported"
        )
    return wanted


def _usual_values(encoder: Component, layout: Layout) -> Values:
    """Return what an encoder most likely takes: one of bytes, or without a batch, normalises itself."""
    spec = encoder.inputs[0]
    return "0-255" if spec.dtype == "uint8" or len(spec.shape) == 3 else layout.values[0]


def _free(encoder: Component, layout: Layout, given: Given) -> frozenset[str]:
    """Return what the self-check has to find out."""
    known = {name for name in ("values", "channels", "padded") if getattr(given, name) is not None}
    if encoder.inputs[0].dtype == "uint8":
        known.add("values")
    if layout.contract.high_res:
        known.add("padded")  # No such family pads.
    return frozenset({"values", "channels", "padded"} - known)


def _copied(folder: Path, path: Path, part: Component, precision: str) -> Component:
    """Copy a graph, and its weights if they are in a second file, and return its entry."""
    file = folder / f"{part.role}.{precision}{path.suffix.lower()}"
    shutil.copyfile(path, file)
    companion = None
    if part.companion is not None:
        weights = path.parent / part.companion.file
        # An ONNX file names its weights; OpenVINO looks for them under the graph's name.
        copy = file.with_suffix(".bin") if part.format == "openvino" else folder / weights.name
        if copy.exists():
            raise InputError(f"both graphs keep their weights in a file called {weights.name}; save one under another")
        shutil.copyfile(weights, copy)
        companion = Companion(**entry(copy))
    return msgspec.structs.replace(part, precision=precision, companion=companion, **entry(file))


def _npz(arrays: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()
