"""Model bundles: a folder with a validated manifest, weights and licence."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_sam.bundles.contract import CHANNELS, PROBED, TOKENS, Role
from edge_sam.bundles.precisions import find_precision, most_exact_first
from edge_sam.errors import InputError
from edge_sam.files.arrays import load_arrays
from edge_sam.files.serialization import decode_json
from edge_sam.imaging.geometry import FRAME

SCHEMA = 1
MANIFEST = "manifest.json"
BUNDLED = Path(__file__).parent
"""Bundles that come with the package."""

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
FileName = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$")]
FamilyName = Annotated[str, msgspec.Meta(pattern="^[a-z0-9]+(-[a-z0-9]+)*$")]
Count = Annotated[int, msgspec.Meta(ge=1)]
Pixel = Annotated[float, msgspec.Meta(ge=0, le=255)]
Spread = Annotated[float, msgspec.Meta(gt=0, le=255)]
_LARGEST_MANIFEST = 1 << 20
_CONSTANTS = {"padding": TOKENS, "no_mask": (CHANNELS,)}


class TensorSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One input or output: name, dtype and shape. A string in the shape is a dimension left free."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


class Companion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A second file that a format needs beside the first: the weights of OpenVINO's graph."""

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


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The checkpoint that a bundle was made from."""

    file: str
    sha256: Sha256
    url: str
    license: str


class MadeBy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What made the bundle: the exact command, and the version of each package that shaped it."""

    command: str
    versions: dict[str, str]


class Measured(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A figure that was measured on the bundle, with its protocol."""

    what: str
    precision: str
    protocol: str
    values: dict[str, float]


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a quantised precision was made from, and for."""

    precision: str
    format: str
    target: str
    """The kernels that the integers suit: cpu, arm, tensorrt or openvino."""
    observer: str
    seed: int
    photographs: Count
    fingerprint: Sha256
    """Of the photographs: sha256 of the sha256 of each file, in order."""


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`manifest.json`."""

    schema: Count
    name: str
    family: FamilyName
    source: Source
    made_by: MadeBy
    frame: Annotated[int, msgspec.Meta(ge=FRAME, le=FRAME)]
    pixel_mean: tuple[Pixel, Pixel, Pixel]
    pixel_std: tuple[Spread, Spread, Spread]
    components: tuple[Component, ...]
    measured: tuple[Measured, ...] = ()
    calibrations: tuple[Calibration, ...] = ()


@dataclass(frozen=True)
class Bundle:
    """A bundle on the disk whose manifest has been read and checked."""

    path: Path
    manifest: Manifest

    @property
    def precisions(self) -> list[str]:
        """Precisions that the bundle has, the most exact first."""
        return most_exact_first({c.precision for c in self.manifest.components if c.role == "encoder"})

    @property
    def exact(self) -> list[str]:
        """Those of `precisions` whose arithmetic is fp32; all of them where none is."""
        return [name for name in self.precisions if find_precision(name).exact] or self.precisions

    @property
    def smallest(self) -> str:
        """The precision with the smallest files; the bundle has at least one."""
        sizes = dict.fromkeys(self.precisions, 0)
        for component in self.manifest.components:
            if component.format == "onnx" and component.precision in sizes:
                sizes[component.precision] += component.bytes
        return min(sizes, key=lambda precision: sizes[precision])

    def component(self, role: Role, precision: str, *formats: str) -> Component:
        """Find one component, in the first of the formats that there is.

        Raises
        ------
        InputError
            The bundle has no such component.
        """
        for format in formats:
            for component in self.manifest.components:
                if (component.role, component.precision, component.format) == (role, precision, format):
                    return component
        have = sorted({f"{c.precision}/{c.format}" for c in self.manifest.components if c.role == role})
        wanted = f"{precision}/{' or '.join(formats)}"
        raise InputError(f"bundle {self.manifest.name} has no {role} in {wanted}; it has {', '.join(have) or 'none'}")

    def verified_file(self, component: Component) -> Path:
        """Return the path of a component's file after checking its size and hash, and those of the file beside it.

        Raises
        ------
        InputError
            The file is missing or is not the one that the manifest names.
        """
        for part in (component, component.companion):
            if part is None:
                continue
            try:
                size = (self.path / part.file).stat().st_size  # A link may lead to a device, which has no end.
                digest = file_sha256(self.path / part.file) if size == part.bytes else ""
            except OSError as error:
                raise InputError(f"bundle {self.path}: cannot read {part.file}: {error.strerror}") from error
            if size != part.bytes:
                raise InputError(
                    f"bundle {self.path}: {part.file} has {size} bytes instead of the {part.bytes} in {MANIFEST};"
                    " make or pull the bundle again"
                )
            if digest != part.sha256:
                raise InputError(
                    f"bundle {self.path}: {part.file} does not match its hash in {MANIFEST}"
                    f" ({digest[:12]}… instead of {part.sha256[:12]}…); make or pull the bundle again"
                )
        return self.path / component.file

    def constants(self, precision: str) -> dict[str, NDArray[np.float32]]:
        """Read the arrays that go with the components.

        Returns
        -------
        dict of str to ndarray of float32
            ``padding`` (64, 64, 256): embedding of a frame that is all padding; ``no_mask`` (256,): what is
            added to every image token where the prompt has no mask.
        """
        return self._arrays("constants", precision, _CONSTANTS)

    def probe(self, precision: str) -> dict[str, NDArray[np.float32]]:
        """Read what the model is known to make of the probe images; see `edge_sam.inference.guard`."""
        return self._arrays("probe", precision, PROBED)

    def _arrays(
        self, role: Role, precision: str, shapes: Mapping[str, tuple[int, ...]]
    ) -> dict[str, NDArray[np.float32]]:
        path = self.verified_file(self.component(role, precision, "npz"))
        loaded = load_arrays(path, f"the model's {role}", shapes)
        if not loaded.keys() >= shapes.keys():
            raise InputError(f"bundle {self.path}: {path.name} lacks one of {', '.join(shapes)}")
        arrays = {name: loaded[name].astype(np.float32) for name in shapes}
        for name, shape in shapes.items():
            if arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
                raise InputError(f"bundle {self.path}: {name} in {path.name} is not a finite array of {shape}")
        return arrays


def open_bundle(name_or_path: str | Path) -> Bundle:
    """Find a bundle and read its manifest.

    Parameters
    ----------
    name_or_path : str or Path
        The name of a bundle that comes with the package, or a bundle's folder. A bare name means the package's
        bundle even where a folder of that name exists: write ``./name`` or give a `Path` for the folder.

    Raises
    ------
    InputError
        No such bundle, or its manifest is damaged or of a newer version.
    """
    path = Path(name_or_path)
    try:
        if isinstance(name_or_path, str) and name_or_path == path.name and (BUNDLED / path / MANIFEST).is_file():
            path = BUNDLED / path
        found = bool(str(name_or_path)) and path.is_dir()
    except (OSError, ValueError):  # Too long for a name, or with characters that no name has.
        found = False
    if not found:
        names = ", ".join(sorted(p.parent.name for p in BUNDLED.glob(f"*/{MANIFEST}")))
        raise InputError(f"no model called {str(name_or_path)!r} and no such folder; with the package come: {names}")
    try:
        with (path / MANIFEST).open("rb") as file:
            text = file.read(_LARGEST_MANIFEST + 1)
    except OSError as error:
        raise InputError(f"{path} is not a model bundle: cannot read {MANIFEST}: {error.strerror}") from error
    if len(text) > _LARGEST_MANIFEST:
        raise InputError(f"{path} is not a model bundle: {MANIFEST} is larger than {_LARGEST_MANIFEST >> 20} MiB")
    return Bundle(path, parse_manifest(text, str(path)))


def file_sha256(path: Path) -> str:
    """Hex digest of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 18):
            digest.update(chunk)
    return digest.hexdigest()


def parse_manifest(text: bytes, name: str) -> Manifest:
    """Validate the text of a manifest; `name` is what errors call the bundle. Raises `InputError`."""
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
    if len(set(keys)) < len(keys):
        raise InputError(f"bundle {name}: {MANIFEST} is damaged: it names a component twice")
    return manifest


class _Versioned(msgspec.Struct):
    """The one field that every version of the manifest has."""

    schema: int
