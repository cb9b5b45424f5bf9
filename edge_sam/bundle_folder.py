"""The folder of a bundle that is being made: nothing is replaced unasked, and it appears whole or not at all."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edge_sam.bundle import MANIFEST, Manifest
from edge_sam.errors import InputError


def refuse_existing(output: Path, overwrite: bool) -> None:
    """Raise `InputError` where a new bundle would replace something unasked."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not (output / MANIFEST).is_file():
        raise InputError(f"{output} exists and is not a model bundle; choose another folder")
    if not overwrite:
        raise InputError(f"{output} exists already; give --overwrite to replace it")


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a bundle that is being made."""
    data = msgspec.json.encode(manifest)
    (folder / MANIFEST).write_bytes(msgspec.json.format(data, indent=1) + b"\n")


def move_into_place(folder: Path, output: Path) -> None:
    """Rename the finished folder; an old bundle steps aside first and goes with the temporary folder."""
    aside = folder.parent / "replaced"
    if output.exists():
        output.rename(aside)
    try:
        folder.rename(output)
    except BaseException:
        if aside.exists():
            aside.rename(output)
        raise
