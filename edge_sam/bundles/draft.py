"""The folder of a bundle that is being made: nothing is replaced unasked, and it appears whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from edge_sam.bundles.bundle import Bundle, file_sha256, open_bundle
from edge_sam.bundles.contract import Role
from edge_sam.bundles.manifest import MANIFEST, Component, MadeBy, Manifest
from edge_sam.errors import InputError
from edge_sam.files.atomic import check_output_folder

TERMS = ("LICENSE", "NOTICE")
"""Files of a bundle that its manifest does not name."""


class Draft:
    """A bundle that is being made in a temporary folder beside where it will be.

    Use as a context: on leaving, what was not finished is gone.

    Parameters
    ----------
    output : Path
        Where it will be; of a symbolic link the target is replaced.
    overwrite : bool
        Whether it may take the place of a bundle.
    source : Bundle, optional
        What to begin with: the manifest's files, and those of `TERMS`.

    Attributes
    ----------
    output : Path
        Absolute.
    folder : Path
        Where files are written, inside the context.

    Raises
    ------
    InputError
        Something is in its place, nothing can be written there, or a file of the source is damaged.
    """

    def __init__(self, output: Path, *, overwrite: bool = False, source: Bundle | None = None) -> None:
        self.output = Path(os.path.realpath(output))
        _refuse_existing(self.output, overwrite)
        check_output_folder(self.output.parent)
        self._source = source
        if source is not None:
            for component in source.manifest.components:
                source.verified_file(component)

    def __enter__(self) -> Draft:
        beside = self.output.parent
        beside.mkdir(parents=True, exist_ok=True)
        self._temporary = tempfile.TemporaryDirectory(dir=beside, prefix=f".{self.output.name}.", suffix=".part")
        self.folder = Path(self._temporary.name) / "new"
        try:
            self.folder.mkdir()
            if self._source is not None:
                _copy(self._source, self.folder)
        except BaseException:
            self._temporary.cleanup()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._temporary.cleanup()

    def write(self, role: Role, precision: str, format: str, data: bytes, **more: Any) -> Component:
        """Write a component's file; `more` are further fields of its entry in the manifest."""
        file = self.folder / f"{role}.{precision}.{format}"
        file.write_bytes(data)
        return Component(role, precision, format, **entry(file), **more)

    def save(self, manifest: Manifest) -> Bundle:
        """Write the manifest and open what there is so far."""
        data = msgspec.json.encode(manifest)
        (self.folder / MANIFEST).write_bytes(msgspec.json.format(data, indent=1) + b"\n")
        return open_bundle(self.folder)

    def finish(self, manifest: Manifest) -> Bundle:
        """Write the manifest and put the folder in its place; an old bundle steps aside first."""
        self.save(manifest)
        aside = self.folder.with_name("old")
        if self.output.exists():
            shutil.copymode(self.output, self.folder)
            self.output.rename(aside)
        try:
            self.folder.rename(self.output)
        except BaseException:
            if aside.exists():
                aside.rename(self.output)
            raise
        return open_bundle(self.output)


def entry(file: Path) -> dict[str, Any]:
    """Describe a file as the manifest does: its name, hash and size."""
    return {"file": file.name, "sha256": file_sha256(file), "bytes": file.stat().st_size}


def made_further(made_by: MadeBy, command: str, *packages: str) -> MadeBy:
    """Add to what made a bundle a command, and the packages that shaped what it made."""
    versions = {**made_by.versions, **{package: version(package) for package in packages}}
    return MadeBy(f"{made_by.command} && {command}", versions)


def _refuse_existing(output: Path, overwrite: bool) -> None:
    if Path.cwd().is_relative_to(output.resolve()):  # Its place would be taken from under who works in it.
        raise InputError(f"{output} is the folder that you are in, or above it; choose another folder")
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not (output / MANIFEST).is_file():
        raise InputError(f"{output} exists and is not a model bundle; choose another folder")
    if not overwrite:
        raise InputError(f"{output} exists already; give --overwrite to replace it")


def _copy(source: Bundle, folder: Path) -> None:
    terms = [name for name in TERMS if (source.path / name).is_file()]
    for name in (*dict.fromkeys(part.file for part in source.manifest.files()), *terms):
        shutil.copyfile(source.path / name, folder / name)
