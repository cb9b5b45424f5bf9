"""Read checkpoints: a strict view of an upstream state dict by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from edge_sam.bundles.bundle import file_sha256
from edge_sam.bundles.zoo import combined_sha256
from edge_sam.errors import InputError
from edge_sam.export import safetensors_file, torch_file
from edge_sam.export.graph_file import SUFFIXES, read_graph
from edge_sam.export.graph_names import official_names

_KEYS = (
    *("state_dict_ema", "ema_state_dict", "model_ema", "params_ema", "ema"),
    *("state_dict", "model_state_dict", "model_state", "model", "params", "module", "net", "network", "weights"),
)
"""Keys under which training programs store a state dict, averaged weights first."""
_WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
"""Name parts that torch's module wrappers insert anywhere."""
_PREFIXES = {"model", "sam", "net", "network", "ema_model"}
"""Prefixes that training programs use for the model."""
_MOST_NAMES = 5
"""Most tensors in an error message."""


class Weights:
    """A state dict that is read by name, each tensor exactly once.

    Modules read their tensors with `take`, which does not raise. `finish` reports all missing, misshapen and unused
    tensors in one error.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = dict(tensors)
        self._missing: list[str] = []
        self._misshapen: list[str] = []

    def take(self, name: str, *shape: int) -> Tensor:
        """Remove and return the float32 tensor `name`, or zeros of `shape` if it is missing or misshapen."""
        tensor = self._tensors.pop(name, None)
        if tensor is None:
            self._missing.append(name)
        elif tuple(tensor.shape) != shape:
            self._misshapen.append(f"{name} is {list(tensor.shape)}, expected {list(shape)}")
        else:
            return tensor.to(torch.float32)
        return torch.zeros(shape)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor that was not taken yet, or () if there is none."""
        return tuple(self._tensors[name].shape) if name in self._tensors else ()

    def ignore(self, prefix: str, suffix: str = "") -> None:
        """Drop tensors that inference does not need, so that `finish` does not report them."""
        for name in list(self._tensors):
            if name.startswith(prefix) and name.endswith(suffix):
                del self._tensors[name]

    def finish(self) -> None:
        """Raise `InputError` if tensors are missing, misshapen or unknown. The message names the first few."""
        problems = [
            f"{title}: {first_names(names)}"
            for title, names in (
                ("missing", self._missing),
                ("wrong shape", self._misshapen),
                ("unknown", sorted(self._tensors)),
            )
            if names
        ]
        if problems:
            raise InputError(f"checkpoint does not fit the model; {'; '.join(problems)}")


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], str]:
    """Read a checkpoint without running code from it.

    Parameters
    ----------
    path : Path
        One of:

        - a file written by ``torch.save``: a state dict, directly or under a usual key of training programs
          (``state_dict``, ``model``, ``ema``, …). Averaged weights are preferred among state dicts of the same size.
        - a ``.safetensors`` file.
        - an ``.onnx`` or ``.ort`` file of a family in `edge_sam.export.graph_names`, or a folder with several of them.

    Returns
    -------
    tensors : dict of str to Tensor
        The state dict, without the name prefixes of wrappers (``module.``, ``_orig_mod.``, …).
    sha256 : str
        Hex digest of the file. For a folder, `edge_sam.bundles.zoo.combined_sha256` of its files.

    Raises
    ------
    InputError
        The file is missing, is not a checkpoint, or contains objects other than tensors.
    MissingExtraError
        The package for the file's format is not installed.
    """
    try:
        if path.is_dir() or path.suffix in SUFFIXES:
            return _read_graphs(path)
        sha256 = file_sha256(path)
        loaded = safetensors_file.load(path) if safetensors_file.is_safetensors(path) else torch_file.load(path)
    except OSError as error:
        raise InputError(f"cannot read checkpoint {path}: {error.strerror or error}") from error
    found = list(_state_dicts(loaded))
    if not found:
        raise InputError(
            f"{path} holds no state dict (names mapped to dense tensors of real numbers); it holds {_outline(loaded)}"
        )
    return _plain_names(max(found, key=len), path), sha256


def _read_graphs(path: Path) -> tuple[dict[str, Tensor], str]:
    """Read the weights inside a graph, or inside all graphs of a folder."""
    files = [path] if path.is_file() else sorted(file for file in path.iterdir() if file.suffix in SUFFIXES)
    if not files:
        raise InputError(f"{path} is a folder without {' and '.join(SUFFIXES)} files; give the checkpoint's file")
    weights: dict[str, NDArray[Any]] = {}
    for file in files:
        weights |= read_graph(file)
    try:
        state = official_names(weights)
    except InputError as error:
        raise InputError(f"cannot read the weights inside {path}: {error}") from error
    digests = {file.name: file_sha256(file) for file in files}
    sha256 = combined_sha256(digests) if path.is_dir() else digests[path.name]
    return {name: torch.tensor(weight) for name, weight in state.items()}, sha256


def _state_dicts(value: object, depth: int = 3) -> Iterator[Mapping[str, Tensor]]:
    """Yield state dicts: the value itself, or those under the keys of training programs."""
    if not isinstance(value, Mapping):
        return
    if all(_is_entry(name, entry) for name, entry in value.items()):
        yield value
    elif depth:
        for key in _KEYS:
            yield from _state_dicts(value.get(key), depth - 1)


def _plain_names(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Remove the parts that wrappers add to names."""
    plain: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        parts = [part for part in name.split(".") if part not in _WRAPPERS]
        while len(parts) > 1 and parts[0] in _PREFIXES:
            del parts[0]
        short = ".".join(parts)
        if short in plain:
            raise InputError(f"{path} holds {short} more than once, under several prefixes; keep one state dict in it")
        plain[short] = tensor
    plain.pop("n_averaged", None)  # From torch.optim.swa_utils.
    return plain


def _outline(value: object) -> str:
    """Describe the loaded value briefly."""
    if not isinstance(value, Mapping):
        return f"a {type(value).__name__}"
    return first_names([f"{name!s:.40} ({type(entry).__name__})" for name, entry in value.items()])


def first_names(names: Sequence[str]) -> str:
    """Join the first few names and the number of the others."""
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _is_entry(name: object, value: object) -> bool:
    dense = isinstance(value, Tensor) and value.layout == torch.strided and not value.is_meta
    return isinstance(name, str) and dense and not (isinstance(value, Tensor) and value.is_complex())
