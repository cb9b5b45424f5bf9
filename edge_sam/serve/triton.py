"""A model repository for Triton Inference Server, and the service of KServe that runs it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from edge_sam.bundles.bundle import Bundle
from edge_sam.bundles.contract import Role
from edge_sam.bundles.manifest import Component, TensorSpec
from edge_sam.bundles.precisions import stored_as
from edge_sam.errors import InputError
from edge_sam.files.atomic import check_output_folder, write_files

_TERMS = ("LICENSE", "NOTICE")
_TYPES = {"float32": "TYPE_FP32", "float16": "TYPE_FP16", "int64": "TYPE_INT64", "int32": "TYPE_INT32"}
_SERVICE = """\
# Set storageUri to the place of this folder, and apply: kubectl apply -f inference-service.yaml
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: {name}
spec:
  predictor:
    model:
      modelFormat:
        name: triton
      protocolVersion: v2
      storageUri: pvc://models/{name}
"""


def write_repository(bundle: Bundle, output: Path, *, precision: str = "auto", overwrite: bool = False) -> list[Path]:
    """Write a Triton model repository: one model for each graph of a bundle.

    Parameters
    ----------
    bundle : Bundle
    output : Path
        Folder of the repository.
    precision : str
        One of the bundle's; ``"auto"``: the most exact, ``"smallest"``: with the smallest files.
    overwrite : bool
        Replace existing files.

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    InputError
        The bundle lacks the precision in ONNX, a file exists already, or the folder is not one.
    OSError
        The disk is full or the folder is not writable.
    """
    check_output_folder(output)
    chosen = {"auto": bundle.precisions[0], "smallest": bundle.smallest}.get(precision, precision)
    if stored_as(chosen) != chosen:
        raise InputError(f"{chosen} is a runtime's arithmetic, not files; give --precision {stored_as(chosen)}")
    name = re.sub(r"[^a-z0-9]+", "-", bundle.manifest.name.lower()).strip("-") or "model"
    contents: dict[Path, bytes] = {}
    for role in bundle.graphs:
        component = bundle.component(role, chosen, "onnx")
        folder = output / model_name(name, role)
        contents[folder / "config.pbtxt"] = model_config(folder.name, component).encode()
        contents[folder / "1" / "model.onnx"] = bundle.verified_file(component).read_bytes()
    constants = bundle.component("constants", chosen, "npz")
    contents[output / "constants.npz"] = bundle.verified_file(constants).read_bytes()
    contents[output / "inference-service.yaml"] = _SERVICE.format(name=name).encode()
    contents |= {output / term: (bundle.path / term).read_bytes() for term in _TERMS if (bundle.path / term).is_file()}
    for file in contents:
        if not overwrite and file.exists():
            raise InputError(f"{file} already exists; give --overwrite to replace it")
    write_files(contents)
    return list(contents)


def model_name(name: str, role: Role) -> str:
    """Return the name under which Triton serves a component."""
    return f"{name}-{role.replace('_', '-')}"


def model_config(name: str, component: Component) -> str:
    """Return the text of a `config.pbtxt` (Triton's `ModelConfig`). There is no batch axis beyond the graph's own."""
    return (
        f'name: "{name}"\nbackend: "onnxruntime"\nmax_batch_size: 0\n'
        + _tensors("input", component.inputs)
        + _tensors("output", component.outputs)
        + "instance_group [ { count: 1 kind: KIND_AUTO } ]\n"
    )


def _tensors(what: str, tensors: Sequence[TensorSpec]) -> str:
    entries = []
    for tensor in tensors:
        dims = ", ".join(str(size) if isinstance(size, int) else "-1" for size in tensor.shape)
        if tensor.dtype not in _TYPES:
            raise InputError(f"{tensor.name} is {tensor.dtype}, a type that this package does not write for Triton")
        entries.append(f'  {{ name: "{tensor.name}" data_type: {_TYPES[tensor.dtype]} dims: [ {dims} ] }}')
    return f"{what} [\n" + ",\n".join(entries) + "\n]\n"
