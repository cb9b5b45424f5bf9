"""Load a ``.safetensors`` file."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from edge_sam.errors import InputError, MissingExtraError, one_line


def is_safetensors(path: Path) -> bool:
    """Tell by its first bytes whether a file is one: a length, and JSON from the ninth byte on."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def load(path: Path) -> dict[str, Tensor]:
    """Load all tensors. Raises `InputError` if the file is damaged.

    They come as torch's tensors because numpy has no bfloat16.
    """
    try:
        from safetensors import SafetensorError, safe_open
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            'reading a .safetensors file needs safetensors, which is not installed: pip install "edge-sam[export]"'
        ) from error
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
    except SafetensorError as error:
        raise InputError(f"{path} is a safetensors file, but it is damaged or cut short: {one_line(error)}") from error
