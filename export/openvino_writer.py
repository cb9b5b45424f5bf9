"""OpenVINO's own format beside ONNX: made from the ONNX files, so it is the same model by construction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from edge_sam.bundles.bundle import Bundle
from edge_sam.bundles.draft import Draft, entry, made_further
from edge_sam.bundles.manifest import Companion, Component
from edge_sam.errors import InputError, MissingExtraError
from edge_sam.runtimes import openvino_device

FORMATS = ("onnx", "openvino")


def require_formats(formats: Sequence[str]) -> None:
    """Check formats before any work is done.

    Raises
    ------
    InputError
        An unknown format, or no ONNX, which the others are made from.
    MissingExtraError
        OpenVINO is not installed.
    """
    for name in formats:
        if name not in FORMATS:
            raise InputError(f"unknown format {name!r}; known: {', '.join(FORMATS)}")
    if "onnx" not in formats:
        raise InputError("a bundle always has onnx; the other formats come beside it: --format onnx,openvino")
    if "openvino" in formats:
        try:
            openvino_device.load_package()
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                'the format openvino needs OpenVINO, which is not installed: pip install "edge-sam[openvino]"'
            ) from error


def to_openvino(components: Sequence[Component], folder: Path, progress: Callable[[str], object]) -> list[Component]:
    """Convert the ONNX components of a bundle that is being made.

    Parameters
    ----------
    components : sequence of Component
        All of the bundle's; those in other formats are passed over.
    folder : Path
        Where their files are; the new ones are written beside them.
    progress : callable
        Told each step, in words.

    Returns
    -------
    list of Component
        The new ones: a graph (``.xml``) with its weights (``.bin``) as companion. Weights keep their precision.
    """
    openvino = openvino_device.load_package()
    written = []
    for component in components:
        if component.format != "onnx":
            continue
        progress(f"converting {component.role} in {component.precision} to openvino")
        graph = folder / f"{component.role}.{component.precision}.xml"
        openvino.save_model(openvino.convert_model(folder / component.file), graph, compress_to_fp16=False)
        weights = graph.with_suffix(".bin")
        companion = Companion(**entry(weights))
        written.append(msgspec.structs.replace(component, format="openvino", **entry(graph), companion=companion))
    return written


def convert_bundle(
    source: Bundle, output: Path, *, overwrite: bool = False, progress: Callable[[str], object]
) -> Bundle:
    """Copy a bundle and add OpenVINO's format to it, whole or not at all.

    Raises
    ------
    InputError
        The output exists, the source has the format already, or one of its files is damaged.
    MissingExtraError
        OpenVINO is not installed.
    OSError
        The disk is full or the folder cannot be written.
    """
    require_formats(FORMATS)
    manifest = source.manifest
    if any(component.format == "openvino" for component in manifest.components):
        raise InputError(f"bundle {manifest.name} has the format openvino already")
    with Draft(output, overwrite=overwrite, source=source) as draft:
        added = to_openvino(manifest.components, draft.folder, progress)
        command = f"edge-sam convert {manifest.name} --output {draft.output.name}"
        changed = msgspec.structs.replace(
            manifest,
            name=draft.output.name,
            components=(*manifest.components, *added),
            made_by=made_further(manifest.made_by, command, "openvino"),
        )
        return draft.finish(changed)
