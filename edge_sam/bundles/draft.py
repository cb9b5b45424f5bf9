"""A new bundle's folder, which appears complete or not at all and replaces nothing unless asked to."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from edge_sam.bundles.bundle import Bundle, file_sha256, open_bundle
from edge_sam.bundles.contract import Role
from edge_sam.bundles.manifest import MANIFEST, Companion, Component, MadeBy, Manifest
from edge_sam.errors import InputError
from edge_sam.files.atomic import check_output_folder

TERMS = ("LICENSE", "NOTICE")
"""Files of a bundle that are not in its manifest."""


class Draft:
    """A bundle under construction in a temporary folder beside its destination.

    Use it as a context manager. An unfinished bundle is deleted on exit.

    Parameters
    ----------
    output : Path
        Destination. If it is a symbolic link, its target is replaced.
    overwrite : bool
        Whether an existing bundle may be replaced.
    source : Bundle, optional
        Bundle to copy first: the manifest's files and those of `TERMS`.

    Attributes
    ----------
    output : Path
        Absolute destination.
    folder : Path
        Temporary folder for the files, inside the context.

    Raises
    ------
    InputError
        The destination exists or is not writable, or a file of the source is damaged.
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
        """Write a component's file. `more` are further fields of its manifest entry."""
        file = self.folder / f"{role}.{precision}.{format}"
        file.write_bytes(data)
        return written(role, precision, format, [file], **more)

    def save(self, manifest: Manifest) -> Bundle:
        """Write the manifest and open the unfinished bundle."""
        data = msgspec.json.encode(manifest)
        (self.folder / MANIFEST).write_bytes(msgspec.json.format(data, indent=1) + b"\n")
        return open_bundle(self.folder)

    def finish(self, manifest: Manifest) -> Bundle:
        """Write the manifest and move the folder to its destination, replacing an old bundle."""
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


def written(role: Role, precision: str, format: str, files: Sequence[Path], **more: Any) -> Component:
    """Return the manifest entry of a component's files: its own and, if it has one, the companion."""
    file, *others = files
    companion = Companion(**entry(others[0])) if others else None
    return Component(role, precision, format, **entry(file), companion=companion, **more)


def entry(file: Path) -> dict[str, Any]:
    """Return a file's name, hash and size as in the manifest."""
    return {"file": file.name, "sha256": file_sha256(file), "bytes": file.stat().st_size}


def with_command(made_by: MadeBy, command: str, *packages: str) -> MadeBy:
    """Add a command, and the versions of the packages that it used, to a `MadeBy`."""
    versions = {**made_by.versions, **{package: version(package) for package in packages}}
    return MadeBy(f"{made_by.command} && {command}", versions)


def _refuse_existing(output: Path, overwrite: bool) -> None:
    if Path.cwd().is_relative_to(output.resolve()):  # Replacing it would remove the working folder.
        raise InputError(f"{output} is the working folder or one of its parents; choose another folder")
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not (output / MANIFEST).is_file():
        raise InputError(f"{output} exists and is not a model bundle; choose another folder")
    if not overwrite:
        raise InputError(f"{output} already exists; give --overwrite to replace it")


def _copy(source: Bundle, folder: Path) -> None:
    terms = [name for name in TERMS if (source.path / name).is_file()]
    for name in (*dict.fromkeys(part.file for part in source.manifest.files()), *terms):
        shutil.copyfile(source.path / name, folder / name)
