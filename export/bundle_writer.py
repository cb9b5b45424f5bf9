"""Convert a checkpoint to a model bundle, which appears complete or not at all."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from edge_sam.bundles.bundle import Bundle
from edge_sam.bundles.draft import Draft, written
from edge_sam.bundles.manifest import (
    CheckpointSource,
    Component,
    MadeBy,
    Manifest,
    Measured,
    contract_fields,
)
from edge_sam.bundles.zoo import archive_source
from edge_sam.errors import InputError
from edge_sam.export.family import Family
from edge_sam.export.onnx_writer import OPSET, save_graph, tensor_specs, to_onnx
from edge_sam.export.openvino_writer import require_formats, to_openvino
from edge_sam.export.parity import check_parity, open_sessions
from edge_sam.export.probe_writer import probe_values
from edge_sam.export.torch_model import TorchModel, load_model
from edge_sam.imaging.view import FRAME

PRECISIONS = ("fp32", "w16")
"""fp32: weights as in the checkpoint. w16: weights stored in 16 bits for half the size, arithmetic in fp32."""

_LICENSES = Path(__file__).parent / "licenses"
_NOTICE = """\
{name}: image encoder, prompt encoder and mask decoder of {title}
Source: {url}, {file}, sha256 {sha256}

{notice}

Changed by edge_sam: the weights were rearranged for inference (batch norms folded, projections merged, precision
{precisions}), traced to ONNX and split into {parts}. Nothing was trained.
Made by: {command}

{licenses}"""


def _silent(step: str) -> None:
    """Ignore progress."""


def export_bundle(
    checkpoint: Path,
    output: Path,
    *,
    precisions: Sequence[str] = ("fp32",),
    formats: Sequence[str] = ("onnx",),
    overwrite: bool = False,
    progress: Callable[[str], None] = _silent,
) -> Bundle:
    """Convert a checkpoint to a bundle.

    The exported model is compared with the torch modules before the bundle gets its name. If anything fails, no bundle
    is left.

    Parameters
    ----------
    checkpoint : Path
        Checkpoint of one of `edge_sam.export.families.FAMILIES`; see `edge_sam.export.checkpoint.read_checkpoint`.
    output : Path
        Folder to create. Its name becomes the bundle's name.
    precisions : sequence of str
        Precisions to write, of `PRECISIONS`.
    formats : sequence of str
        ``"onnx"`` is required; ``"openvino"`` adds OpenVINO's own format.
    overwrite : bool
        Replace an existing bundle.
    progress : callable
        Called with a description of each step.

    Returns
    -------
    Bundle

    Raises
    ------
    InputError
        The checkpoint cannot be used, the output exists, or a precision or format is unknown.
    ExportError
        The exported model disagrees with torch.
    OSError
        The disk is full or the folder is not writable.
    """
    for precision in precisions:
        if precision not in PRECISIONS:
            raise InputError(f"unknown precision {precision!r}; known: {', '.join(PRECISIONS)}")
    require_formats(formats)
    draft = Draft(output, overwrite=overwrite)
    progress(f"reading {checkpoint.name}")
    family, model = load_model(checkpoint)
    components: list[Component] = []
    measured: list[Measured] = []
    with draft:
        for precision in (each for each in PRECISIONS if each in precisions):
            if precision == "w16":
                model = model.rounded_to_half()  # The last precision, so the exact weights need no memory any more.
            made = _write_components(model, precision, draft, progress)
            components += made
            progress(f"checking {precision} against torch")
            measured.append(_measure(model, precision, draft.folder, made))
        if "openvino" in formats:
            components += to_openvino(components, draft.folder, progress)
        manifest = Manifest(
            **contract_fields(family.contract),
            name=draft.output.name,
            family=family.name,
            source=archive_source(model.sha256, family.license)
            or CheckpointSource(checkpoint.name, model.sha256, family.url, family.license),
            made_by=_made_by(checkpoint.name, draft.output.name, precisions, formats),
            frame=FRAME,
            pixel_mean=family.pixel_mean,
            pixel_std=family.pixel_std,
            components=tuple(components),
            measured=tuple(measured),
        )
        _write_terms(draft.folder, family, manifest, precisions)
        return draft.finish(manifest)


def _write_components(
    model: TorchModel, precision: str, draft: Draft, progress: Callable[[str], None]
) -> list[Component]:
    components = []
    for role in model.contract.graphs:
        progress(f"writing {role} in {precision}")
        graph = to_onnx(role, getattr(model, role), store_half=model.half, contract=model.contract)
        inputs, outputs = tensor_specs(graph)
        files = save_graph(graph, draft.folder / f"{role}.{precision}.onnx")
        components.append(written(role, precision, "onnx", files, opset=OPSET, inputs=inputs, outputs=outputs))
    constants, padding = {"no_mask": model.no_mask.numpy()}, None
    if "padding" in model.contract.constants:
        progress(f"encoding the padding in {precision}")
        stored = model.padding().numpy().astype(np.float16 if model.half else np.float32)
        constants, padding = {"padding": stored, **constants}, stored.astype(np.float32)
    components.append(draft.write("constants", precision, "npz", _npz(constants)))
    progress(f"running the probe in {precision}")
    probe = probe_values(model, padding)
    components.append(draft.write("probe", precision, "npz", _npz(probe)))
    return components


def _npz(arrays: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _measure(model: TorchModel, precision: str, folder: Path, components: list[Component]) -> Measured:
    sessions = open_sessions(folder, {c.role: c.file for c in components if c.format == "onnx"})
    return Measured(
        what="largest absolute difference from the torch modules",
        precision=precision,
        protocol=f"ONNX Runtime on the CPU; {'1 input size' if model.contract.fixed else '7 input sizes'}; 1 and 3"
        f" prompts of every mix of points{', box and mask' if model.contract.masks else ' and box'}"
        + ("; torch with the same 16-bit weights" if model.half else ""),
        values=check_parity(model, sessions),
    )


def _made_by(file: str, name: str, precisions: Sequence[str], formats: Sequence[str]) -> MadeBy:
    packages = ["edge-sam", "torch", "onnx"] + (["openvino"] if "openvino" in formats else [])
    options = "".join(f" --precision {precision}" for precision in precisions)
    if "openvino" in formats:
        options += " --format onnx,openvino"
    command = f"edge-sam export {file} --output {name}{options}"
    return MadeBy(command, {package: version(package) for package in packages})


def _write_terms(folder: Path, family: Family, manifest: Manifest, precisions: Sequence[str]) -> None:
    first, *others = family.licenses
    shutil.copyfile(_LICENSES / first, folder / "LICENSE")
    notice = _NOTICE.format(
        name=manifest.name,
        title=family.title,
        url=family.url,
        file=manifest.source.file,
        sha256=manifest.source.sha256,
        notice=family.notice,
        precisions=", ".join(precisions),
        parts=", ".join(role.replace("_", " ") for role in family.contract.graphs),
        command=manifest.made_by.command,
        licenses="\n".join((_LICENSES / name).read_text(encoding="utf-8") for name in others),
    )
    (folder / "NOTICE").write_text(notice, encoding="utf-8")
