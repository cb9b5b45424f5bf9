"""The manifest of a model bundle: its schema and its checks."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from edge_sam.bundles.contract import GRID_SAM, Contract, Role
from edge_sam.bundles.precisions import stored_as
from edge_sam.errors import InputError
from edge_sam.files.serialization import decode_json
from edge_sam.imaging.view import FRAME

SCHEMA = 5
"""Version of the schema. Version 2 has `contract`, and version 3 `layout`. In the contract, version 4 has
`weighted_tokens`, `fixed` and `masks`, and version 5 `separate_upscaling`."""
LAYOUT_SCHEMA = 3
"""The oldest version that has `layout`."""
MANIFEST = "manifest.json"

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
FileName = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$")]
FamilyName = Annotated[str, msgspec.Meta(pattern="^[a-z0-9]+(-[a-z0-9]+)*$")]
Count = Annotated[int, msgspec.Meta(ge=1)]
Values = Literal["normalised", "0-255", "0-1"]
Channels = Literal["rgb", "bgr"]
Pixel = Annotated[float, msgspec.Meta(ge=0, le=255)]
PixelStd = Annotated[float, msgspec.Meta(gt=0, le=255)]


class TensorSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One input or output: name, dtype and shape. A string in the shape names a dynamic dimension."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


class Companion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A second file that a format needs beside the first, such as the weights of an OpenVINO graph."""

    file: FileName
    sha256: Sha256
    bytes: Count


class Component(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the model in one precision and one format."""

    role: Role
    precision: str
    format: str
    file: FileName
    sha256: Sha256
    bytes: Count
    opset: Count | None = None
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    companion: Companion | None = None

    @property
    def files(self) -> tuple[Component | Companion, ...]:
        """The component's files: its own and the companion, if it has one."""
        return (self,) if self.companion is None else (self, self.companion)


class CheckpointSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The checkpoint that a bundle was made from."""

    file: str
    sha256: Sha256
    url: str
    license: str


class MadeBy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The exact command that made the bundle, and the versions of the packages that affect the result."""

    command: str
    versions: dict[str, str]


class Measured(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Figures that were measured on the bundle, with their protocol."""

    what: str
    precision: str
    protocol: str
    values: dict[str, float]


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a quantised precision was calibrated."""

    precision: str
    format: str
    target: str
    """The kernels that the integers suit: cpu, arm, tensorrt or openvino."""
    observer: str
    seed: int
    photographs: Count
    fingerprint: Sha256
    """Identifies the calibration set: the sha256 of the sha256 of each file, in order."""


class ForeignLayout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to talk to graphs of other makers; see `edge_sam.layouts`.

    Attributes
    ----------
    name : str
        Name of their layout in `edge_sam.layouts.LAYOUTS`.
    values : str
        What the encoder takes: ``normalised`` with the manifest's mean and deviation, or colours as ``0-255`` or
        ``0-1``, if the graph normalises itself or was trained so.
    channels : str
        Order of the colours: ``rgb`` or ``bgr``.
    """

    name: str
    values: Values = "normalised"
    channels: Channels = "rgb"


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`manifest.json`."""

    schema: Count
    name: str
    family: FamilyName
    source: CheckpointSource
    made_by: MadeBy
    frame: Annotated[int, msgspec.Meta(ge=FRAME, le=FRAME)]
    pixel_mean: tuple[Pixel, Pixel, Pixel]
    pixel_std: tuple[PixelStd, PixelStd, PixelStd]
    components: tuple[Component, ...]
    measured: tuple[Measured, ...] = ()
    calibrations: tuple[Calibration, ...] = ()
    contract: Contract | msgspec.UnsetType = msgspec.UNSET
    """Absent if it is `GRID_SAM`."""
    layout: ForeignLayout | msgspec.UnsetType = msgspec.UNSET
    """Only if the graphs are those of another maker."""

    def files(self, precision: str | None = None) -> list[Component | Companion]:
        """List the files of all components, or of those that one precision needs. Precisions may share a file."""
        stored = precision and stored_as(precision)
        chosen = (each for each in self.components if stored in (None, each.precision))
        return [file for component in chosen for file in component.files]


def contract_fields(contract: Contract) -> dict[str, Any]:
    """Return the fields of a manifest that state the contract, in the oldest version that can."""
    if contract == GRID_SAM:
        return {"schema": 1}
    newer = contract.weighted_tokens or contract.fixed or not contract.masks
    version = 5 if contract.separate_upscaling else 4 if newer else 2
    return {"schema": version, "contract": contract}


class _Versioned(msgspec.Struct):
    """The one field that every version of the manifest has."""

    schema: int


def parse_manifest(text: bytes, name: str) -> Manifest:
    """Parse and validate a manifest. Errors call the bundle `name`. Raises `InputError`."""
    try:
        version = decode_json(text, _Versioned).schema
        if version > SCHEMA:
            raise InputError(
                f"bundle {name} was written by a newer edge_sam (manifest version {version}, this one reads up to"
                f" {SCHEMA}); upgrade with: pip install -U edge-sam"
            )
        manifest: Manifest = decode_json(text, Manifest)
    except msgspec.DecodeError as error:
        raise InputError(f"bundle {name}: {MANIFEST} is damaged: {error}") from error
    keys = [(component.role, component.precision, component.format) for component in manifest.components]
    if manifest.schema == 1 and manifest.contract is not msgspec.UNSET:
        raise InputError(f"bundle {name}: {MANIFEST} is damaged: version 1 has no contract")
    if manifest.schema < 3 and manifest.layout is not msgspec.UNSET:
        raise InputError(f"bundle {name}: {MANIFEST} is damaged: version {manifest.schema} has no layout")
    if manifest.schema < 4 and isinstance(manifest.contract, Contract) and manifest.contract.weighted_tokens:
        raise InputError(f"bundle {name}: {MANIFEST} is damaged: version {manifest.schema} has no weighted tokens")
    if manifest.schema < 5 and isinstance(manifest.contract, Contract) and manifest.contract.separate_upscaling:
        raise InputError(f"bundle {name}: {MANIFEST} is damaged: version {manifest.schema} has no separate upscaling")
    if len(set(keys)) < len(keys):
        raise InputError(f"bundle {name}: {MANIFEST} is damaged: it names a component twice")
    return manifest
