"""Read checkpoints: a strict view of an upstream state dict by name."""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from pickletools import genops
from typing import IO

import torch
from torch import Tensor

from edge_sam.bundles.bundle import file_sha256
from edge_sam.errors import InputError

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
_REMEDY = "save the state dict alone: torch.save(model.state_dict(), FILE)"


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
    """Read a PyTorch checkpoint without running code from it.

    Parameters
    ----------
    path : Path
        A file written by ``torch.save``: a state dict, directly or under a usual key of training programs
        (``state_dict``, ``model``, ``ema``, …). Averaged weights are preferred among state dicts of the same size.

    Returns
    -------
    tensors : dict of str to Tensor
        The state dict, without the name prefixes of wrappers (``module.``, ``_orig_mod.``, …).
    sha256 : str
        Hex digest of the file.

    Raises
    ------
    InputError
        The file is missing, is not a checkpoint, or contains objects other than tensors.
    """
    try:
        sha256 = file_sha256(path)
        _reject_memory_bombs(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # They do not help users of an arbitrary file.
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"cannot read checkpoint {path}: {error.strerror or error}") from error
    except InputError:
        raise
    except Exception as error:  # torch raises a dozen unrelated classes for damaged files.
        raise InputError(f"{path} is not a checkpoint of plain tensors: {_reason(path, error)}") from error
    found = list(_state_dicts(loaded))
    if not found:
        raise InputError(
            f"{path} holds no state dict (names mapped to dense tensors of real numbers); it holds {_outline(loaded)}"
        )
    return _plain_names(max(found, key=len), path), sha256


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


def _reason(path: Path, error: Exception) -> str:
    """Explain why torch.load rejects a file."""
    with path.open("rb") as file:
        start = file.read(64)
    kind = re.search(r"(?:GLOBAL|Unsupported class) ([\w.]+)", str(error))
    if kind:
        return f"it holds an object of {kind[1]}, which only its own code can read; {_REMEDY}"
    if start[8:9] == b"{":
        return "it is a safetensors file; load it with safetensors.torch.load_file and torch.save the result"
    if start.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer; get the file with: git lfs pull"
    if start.lstrip().startswith(b"<"):
        return "it is a web page; download the file itself"
    return "it is damaged or cut short, or torch.save did not write it (torch.load with weights_only=True refused it)"


def _outline(value: object) -> str:
    """Describe the loaded value briefly."""
    if not isinstance(value, Mapping):
        return f"a {type(value).__name__}"
    return first_names([f"{name!s:.40} ({type(entry).__name__})" for name, entry in value.items()])


def first_names(names: Sequence[str]) -> str:
    """Join the first few names and the number of the others."""
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _reject_memory_bombs(path: Path) -> None:
    """Raise `InputError` for files that use far more memory than their size. `torch.save` writes none of them."""
    with path.open("rb") as file:
        pickles: list[IO[bytes]] = [file] * 4  # Magic number, version, system info and objects.
        if file.peek(4).startswith(b"PK\x03\x04"):
            with zipfile.ZipFile(file) as archive:
                if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                    raise InputError(
                        f"{path} is not a checkpoint of plain tensors: it is a TorchScript archive; {_REMEDY}"
                    )
                if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                    raise InputError(f"checkpoint {path} is a compressed archive; torch.save does not compress")
                pickles = [io.BytesIO(archive.read(n)) for n in archive.namelist() if n.endswith("data.pkl")]
        for stream in pickles:
            if any(operation.name == "GLOBAL" and "bytearray" in str(name) for operation, name, _ in genops(stream)):
                raise InputError(f"checkpoint {path} makes a bytearray, which no model has")  # It may have any length.


def _is_entry(name: object, value: object) -> bool:
    dense = isinstance(value, Tensor) and value.layout == torch.strided and not value.is_meta
    return isinstance(name, str) and dense and not (isinstance(value, Tensor) and value.is_complex())
