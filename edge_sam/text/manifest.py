"""`matcher.json`: what a packed matcher holds, with hashes and licence."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edge_sam.bundles.bundle import file_sha256
from edge_sam.bundles.manifest import Count, FamilyName, FileName, MadeBy, Sha256
from edge_sam.errors import InputError
from edge_sam.files.serialization import decode_json

MATCHER = "matcher.json"
SCHEMA = 1
_LARGEST = 1 << 20


class MatcherFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file. Graphs have a precision; weights and side files have none."""

    file: FileName
    sha256: Sha256
    bytes: Count
    precision: str | None = None


class MatcherManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`matcher.json`.

    Attributes
    ----------
    schema : int
        Version of this file's form.
    name : str
        Name of the folder.
    layout : str
        See `edge_sam.text.layouts.LAYOUTS`.
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

    def graphs(self, precision: str) -> list[str]:
        """Return the names of the graphs in a precision; see `edge_sam.text.graphs.find_graphs`."""
        from edge_sam.text.graphs import PRECISIONS

        sizes: dict[str, int] = {}
        for each in self.files:
            if each.precision is not None:
                sizes[each.precision] = sizes.get(each.precision, 0) + each.bytes
        order = PRECISIONS if precision == "auto" else (precision,)
        if precision == "smallest":
            order = (min(sizes, key=lambda name: sizes[name]),)
        for wanted in order:
            if wanted in sizes:
                return [each.file for each in self.files if each.precision == wanted]
        raise InputError(f"matcher {self.name} has no precision {precision!r}; it has {', '.join(sizes)}")


def read_manifest(folder: Path) -> MatcherManifest | None:
    """Read the manifest of a packed matcher and check every file against it.

    Returns
    -------
    MatcherManifest or None
        None if the folder has none.

    Raises
    ------
    InputError
        It is damaged or of a newer version, or a file is missing or another one.
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
    for each in manifest.files:
        try:
            intact = file_sha256(folder / each.file) == each.sha256
        except OSError as error:
            raise InputError(f"matcher {folder}: cannot read {each.file}: {error.strerror}") from error
        if not intact:
            raise InputError(f"matcher {folder}: {each.file} does not match its hash in {MATCHER}; import it again")
    return manifest
