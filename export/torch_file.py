"""Load what ``torch.save`` wrote, without running code from it."""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from pathlib import Path
from pickletools import genops
from typing import IO, Any

import torch

from edge_sam.errors import InputError

_REMEDY = "save the state dict alone: torch.save(model.state_dict(), FILE)"


def load(path: Path) -> Any:
    """Load a file of ``torch.save``: tensors and plain containers only.

    Raises
    ------
    InputError
        The file is of another kind or damaged, or contains objects other than tensors.
    OSError
        It cannot be read.
    """
    try:
        _reject_memory_bombs(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # They do not help users of an arbitrary file.
            return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, InputError):
        raise
    except Exception as error:  # torch raises a dozen unrelated classes for damaged files.
        raise InputError(f"{path} is not a checkpoint of plain tensors: {_reason(path, error)}") from error


def _reason(path: Path, error: Exception) -> str:
    """Explain why torch.load rejects a file."""
    with path.open("rb") as file:
        start = file.read(64)
    kind = re.search(r"(?:GLOBAL|Unsupported class) ([\w.]+)", str(error))
    if kind:
        return f"it holds an object of {kind[1]}, which only its own code can read; {_REMEDY}"
    if start.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer; get the file with: git lfs pull"
    if start.lstrip().startswith(b"<"):
        return "it is a web page; download the file itself"
    return "it is damaged or cut short, or torch.save did not write it (torch.load with weights_only=True refused it)"


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
