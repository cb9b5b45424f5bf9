"""Reading a checkpoint: a strict, named view of an upstream state dict."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickletools import genops
from typing import IO

import torch
from torch import Tensor

from edge_sam.bundle import file_sha256
from edge_sam.errors import InputError


class Weights:
    """A state dict that is read by name, every tensor exactly once.

    Modules take what they need with `take`. Nothing is raised on the way, so that `finish` can name
    everything that is missing, misshapen or left over in one error.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = dict(tensors)
        self._missing: list[str] = []
        self._misshapen: list[str] = []

    def take(self, name: str, *shape: int) -> Tensor:
        """Remove and return the float32 tensor called `name`; zeros of `shape` stand in for a bad one."""
        tensor = self._tensors.pop(name, None)
        if tensor is None:
            self._missing.append(name)
        elif tuple(tensor.shape) != shape:
            self._misshapen.append(f"{name} is {list(tensor.shape)}, expected {list(shape)}")
        else:
            return tensor.to(torch.float32)
        return torch.zeros(shape)

    def ignore(self, prefix: str, suffix: str = "") -> None:
        """Drop tensors that inference does not need, so that they do not count as left over."""
        for name in list(self._tensors):
            if name.startswith(prefix) and name.endswith(suffix):
                del self._tensors[name]

    def finish(self) -> None:
        """Raise `InputError` that names every missing, misshapen or unknown tensor."""
        problems = [
            f"{title}: {', '.join(names)}"
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
        A file written by ``torch.save``: a state dict, bare or under the key ``model``.

    Returns
    -------
    tensors : dict of str to Tensor
        The state dict.
    sha256 : str
        Hex digest of the file.

    Raises
    ------
    InputError
        The file is absent, is not a checkpoint, or holds something other than tensors.
    """
    try:
        sha256 = file_sha256(path)
        _refuse_bombs(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of a file that may be anything, they tell a user nothing.
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"cannot read checkpoint {path}: {error.strerror or error}") from error
    except InputError:
        raise
    except Exception as error:  # torch raises a dozen unrelated classes on damaged files.
        raise InputError(
            f"{path} is not a checkpoint of plain tensors (torch.load with weights_only=True refused it)"
        ) from error
    tensors = loaded.get("model", loaded) if isinstance(loaded, Mapping) else None
    if not isinstance(tensors, Mapping) or not all(_is_entry(name, value) for name, value in tensors.items()):
        raise InputError(f"{path} holds no state dict (names mapped to dense tensors of real numbers)")
    return dict(tensors), sha256


def _refuse_bombs(path: Path) -> None:
    """Raise `InputError` for what takes memory out of proportion to the file; `torch.save` writes neither of it."""
    with path.open("rb") as file:
        pickles: list[IO[bytes]] = [file] * 4  # Magic number, version, machine and objects, one after the other.
        if file.peek(4).startswith(b"PK\x03\x04"):
            with zipfile.ZipFile(file) as archive:
                if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                    raise InputError(f"checkpoint {path} is a compressed archive; torch.save does not compress")
                pickles = [io.BytesIO(archive.read(n)) for n in archive.namelist() if n.endswith("data.pkl")]
        for stream in pickles:
            if any(operation.name == "GLOBAL" and "bytearray" in str(name) for operation, name, _ in genops(stream)):
                raise InputError(f"checkpoint {path} makes a bytearray, which no model has")  # Of any length.


def _is_entry(name: object, value: object) -> bool:
    dense = isinstance(value, Tensor) and value.layout == torch.strided and not value.is_meta
    return isinstance(name, str) and dense and not (isinstance(value, Tensor) and value.is_complex())
