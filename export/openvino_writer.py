"""Add OpenVINO's own format to a bundle, converted from its ONNX files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from edge_sam.bundles.bundle import Bundle
from edge_sam.bundles.draft import Draft, entry, with_command
from edge_sam.bundles.manifest import Companion, Component
from edge_sam.errors import InputError, MissingExtraError
from edge_sam.runtimes import openvino_device

FORMATS = ("onnx", "openvino")


def require_formats(formats: Sequence[str]) -> None:
    """Check formats before any work.

    Raises
    ------
    InputError
        A format is unknown, or ONNX is missing, which the others are converted from.
    MissingExtraError
        OpenVINO is not installed.
    """
    for name in formats:
        if name not in FORMATS:
            raise InputError(f"unknown format {name!r}; known: {', '.join(FORMATS)}")
    if "onnx" not in formats:
        raise InputError("a bundle needs the format onnx; add the others to it: --format onnx,openvino")
    if "openvino" in formats:
        try:
            openvino_device.load_package()
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                'the format openvino needs OpenVINO, which is not installed: pip install "edge-sam[openvino]"'
            ) from error


def to_openvino(components: Sequence[Component], folder: Path, progress: Callable[[str], object]) -> list[Component]:
    """Convert the ONNX components of an unfinished bundle.

    Parameters
    ----------
    components : sequence of Component
        Components of the bundle. Those in other formats are skipped.
    folder : Path
        Folder of their files, and of the new ones.
    progress : callable
        Called with a description of each step.

    Returns
    -------
    list of Component
        New components: a graph (``.xml``) with its weights (``.bin``) as companion. Weights keep their precision.
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
    """Copy a bundle and add OpenVINO's format, completely or not at all.

    Raises
    ------
    InputError
        The output exists, the source already has the format, or one of its files is damaged.
    MissingExtraError
        OpenVINO is not installed.
    OSError
        The disk is full or the folder is not writable.
    """
    require_formats(FORMATS)
    manifest = source.manifest
    if any(component.format == "openvino" for component in manifest.components):
        raise InputError(f"bundle {manifest.name} already has the format openvino")
    with Draft(output, overwrite=overwrite, source=source) as draft:
        added = to_openvino(manifest.components, draft.folder, progress)
        command = f"edge-sam convert {manifest.name} --output {draft.output.name}"
        changed = msgspec.structs.replace(
            manifest,
            name=draft.output.name,
            components=(*manifest.components, *added),
            made_by=with_command(manifest.made_by, command, "openvino"),
        )
        return draft.finish(changed)
