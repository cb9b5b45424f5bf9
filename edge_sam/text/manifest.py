"""`matcher.json`: what a packed matcher holds, with hashes and licence."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from edge_sam.bundles.bundle import file_sha256
from edge_sam.bundles.manifest import Count, FamilyName, FileName, MadeBy, Sha256
from edge_sam.errors import InputError
from edge_sam.files.serialization import decode_json
from edge_sam.text.graphs import PRECISIONS, choose_variant

MATCHER = "matcher.json"
SCHEMA = 1
_LARGEST = 1 << 20


class MatcherFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file. Graphs have a part (see `edge_sam.text.matcher_files.Parts`) and a precision; other files have none."""

    file: FileName
    sha256: Sha256
    bytes: Count
    part: str | None = None
    precision: Annotated[str, msgspec.Meta(pattern=f"^({'|'.join(PRECISIONS)})?$")] = ""


class MatcherManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`matcher.json`.

    Attributes
    ----------
    schema : int
        Version of this file's form.
    name : str
        Name of the folder.
    layout : str
        See `edge_sam.text.known_layouts.LAYOUTS`.
    license, url : str
        Under which terms the model is, and where it comes from.
    made_by : MadeBy
        The command, and the versions of the packages.
    files : tuple of MatcherFile
        Every file but the terms.
    """

    schema: Count
    name: str
    layout: FamilyName
    license: str
    url: str
    made_by: MadeBy
    files: tuple[MatcherFile, ...]

    def graphs(self, precision: str) -> list[MatcherFile]:
        """Return the file of each part in a precision; see `edge_sam.text.graphs.choose_graphs`."""
        parts: dict[str, list[MatcherFile]] = {}
        for each in self.files:
            if each.part is not None:
                parts.setdefault(each.part, []).append(each)
        return [
            files[
                choose_variant([(each.precision, each.bytes) for each in files], precision, f"{self.name} has {part}")
            ]
            for part, files in parts.items()
        ]


def read_manifest(folder: Path) -> MatcherManifest | None:
    """Read the manifest of a packed matcher. None if the folder has none.

    Raises
    ------
    InputError
        It is damaged or of a newer version.
    """
    path = folder / MATCHER
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            manifest: MatcherManifest = decode_json(file.read(_LARGEST), MatcherManifest)
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(f"{path} is damaged: {error}") from error
    if manifest.schema > SCHEMA:
        raise InputError(f"{path} was written by a newer edge_sam; upgrade with: pip install -U edge-sam")
    return manifest


def check_files(folder: Path, manifest: MatcherManifest) -> None:
    """Check every file against its hash. Raises `InputError` if one is missing or another one."""
    for each in manifest.files:
        try:
            intact = file_sha256(folder / each.file) == each.sha256
        except OSError as error:
            raise InputError(f"matcher {folder}: cannot read {each.file}: {error.strerror}") from error
        if not intact:
            raise InputError(f"matcher {folder}: {each.file} does not match its hash in {MATCHER}; import it again")
