"""Model bundles: a folder with a validated manifest, weights and licence."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_sam.bundles.contract import CHANNELS, GRID_SAM, Contract, Role
from edge_sam.bundles.external_data import weights_beside
from edge_sam.bundles.manifest import MANIFEST, Component, ForeignLayout, Manifest, parse_manifest
from edge_sam.bundles.precisions import find_precision, most_exact_first, stored_as
from edge_sam.bundles.zoo import read_index
from edge_sam.errors import InputError
from edge_sam.files.arrays import load_arrays
from edge_sam.files.cache_home import cache_home
from edge_sam.imaging.geometry import GRID
from edge_sam.runtimes.file_identity import file_identity

BUNDLED = Path(__file__).parent
"""Folder of the bundles that come with the package."""
GRAPH_FILES = {".onnx": "onnx", ".ort": "ort", ".xml": "openvino"}
"""Formats of graphs by suffix."""
_LARGEST_MANIFEST = 1 << 20


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose manifest has been read and checked."""

    path: Path
    manifest: Manifest

    @property
    def contract(self) -> Contract:
        """What the components exchange."""
        contract = self.manifest.contract
        return contract if isinstance(contract, Contract) else GRID_SAM

    @property
    def layout(self) -> ForeignLayout | None:
        """How to talk to the graphs if they are those of another maker. None for a bundle of this package."""
        layout = self.manifest.layout
        return layout if isinstance(layout, ForeignLayout) else None

    @property
    def graphs(self) -> tuple[Role, ...]:
        """The components that are graphs. Other makers have no mask encoder: their decoder takes the mask prompt."""
        return self.contract.graphs if self.layout is None else ("encoder", "decoder")

    @property
    def precisions(self) -> list[str]:
        """Precisions of the bundle, the most exact first."""
        return most_exact_first({c.precision for c in self.manifest.components if c.role == "encoder"})

    @property
    def exact(self) -> list[str]:
        """Precisions that compute in fp32, or all of them if none does."""
        return [name for name in self.precisions if find_precision(name).exact] or self.precisions

    def runs_in(self, precision: str) -> bool:
        """Tell whether the bundle has the files of a precision."""
        return stored_as(precision) in self.precisions

    @property
    def smallest(self) -> str:
        """The precision with the smallest files; the bundle has at least one."""
        sizes = dict.fromkeys(self.precisions, 0)
        for component in self.manifest.components:
            if component.format in ("onnx", "ort") and component.precision in sizes:
                sizes[component.precision] += component.bytes
        return min(sizes, key=lambda precision: sizes[precision])

    def megabytes(self, precision: str) -> float:
        """Return the size of a precision's components in MB, each in one format, ONNX first."""
        parts = [part for part in self.manifest.components if part.precision == precision]
        roles: dict[str, int] = {}
        for part in sorted(parts, key=lambda part: part.format != "onnx"):
            roles.setdefault(part.role, sum(each.bytes for each in part.files))
        return round(sum(roles.values()) / 1e6, 1)

    def component(self, role: Role, precision: str, *formats: str) -> Component:
        """Find a component in the first of the formats that the bundle has. Precisions may share their files.

        Raises
        ------
        InputError
            The bundle has no such component.
        """
        stored = stored_as(precision)
        for format in formats:
            for component in self.manifest.components:
                if (component.role, component.precision, component.format) == (role, stored, format):
                    return component
        have = sorted({f"{c.precision}/{c.format}" for c in self.manifest.components if c.role == role})
        wanted = f"{stored}/{' or '.join(formats)}"
        raise InputError(f"bundle {self.manifest.name} has no {role} in {wanted}; it has {', '.join(have) or 'none'}")

    def verified_file(self, component: Component) -> Path:
        """Return the path of a component's file after checking the size and hash of each of its files.

        Raises
        ------
        InputError
            A file is missing or is not the one that the manifest describes.
        """
        for part in component.files:
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

    @contextlib.contextmanager
    def unchanged(self, component: Component) -> Iterator[Path]:
        """Yield the path of `verified_file` for a runtime to open, and check that it opened what was verified.

        Runtimes open files by path, some of them without a way to give them the content.

        Raises
        ------
        InputError
            As `verified_file`; or a file was written or replaced in the meantime.
        """
        before = self._identities(component)
        try:
            yield self.verified_file(component)
        finally:
            if self._identities(component) != before:
                raise InputError(f"bundle {self.path}: {component.file} was changed while it was loaded; load it again")

    def _identities(self, component: Component) -> tuple[tuple[int, ...], ...]:
        """Return what changes when one of a component's files is written, replaced or renamed."""
        return file_identity(*(self.path / part.file for part in component.files))

    def check_named(self, component: Component) -> None:
        """Check that a runtime will read no file for a component but those of the manifest, whose hashes are known.

        Raises
        ------
        InputError
            The graph keeps its weights in another file.
        """
        try:
            used = weights_beside(self.path / component.file, component.format)
        except OSError as error:
            raise InputError(f"bundle {self.path}: cannot read {component.file}: {error.strerror}") from error
        except ValueError:  # It is no graph, which the runtime will say.
            return
        unknown = used - {part.file for part in component.files}
        if unknown:
            raise InputError(
                f"bundle {self.path}: {component.file} keeps its weights in {', '.join(sorted(unknown))}, which"
                f" {MANIFEST} does not name; make or pull the bundle again"
            )

    def constants(self, precision: str) -> dict[str, NDArray[np.float32]]:
        """Read the constant arrays of the model.

        Returns
        -------
        dict of str to ndarray of float32
            ``padding`` (64, 64, 256), if the family pads: image embedding of a frame that is all padding. ``no_mask``
            (256,): added to every image token if the prompt has no mask.
        """
        return self._arrays("constants", precision, self.contract.constants)

    def positions(self, precision: str) -> NDArray[np.float32]:
        """Read the positions of the image tokens, (1, 256, 64, 64), that decoders of Hugging Face take."""
        return self._arrays("constants", precision, {"positions": (1, CHANNELS, GRID, GRID)})["positions"]

    def probe(self, precision: str) -> dict[str, NDArray[np.float32]]:
        """Read the reference outputs for the probe images; see `edge_sam.inference.guard`."""
        return self._arrays("probe", precision, self.contract.probed)

    def _arrays(
        self, role: Role, precision: str, shapes: Mapping[str, tuple[int, ...]]
    ) -> dict[str, NDArray[np.float32]]:
        with self.unchanged(self.component(role, precision, "npz")) as path:
            loaded = load_arrays(path, f"the model's {role}", shapes)
        if not loaded.keys() >= shapes.keys():
            raise InputError(f"bundle {self.path}: {path.name} lacks one of {', '.join(shapes)}")
        arrays = {name: loaded[name].astype(np.float32) for name in shapes}
        for name, shape in shapes.items():
            if arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
                raise InputError(f"bundle {self.path}: {name} in {path.name} is not a finite array of {shape}")
        return arrays


def bundled_models() -> list[str]:
    """List the names of the bundles that come with the package."""
    return sorted(path.parent.name for path in BUNDLED.glob(f"*/{MANIFEST}"))


def cached_bundle(name: str) -> Path:
    """Return the folder in the cache for a bundle of this name; `edge-sam export NAME` makes it."""
    return cache_home() / "bundles" / name


def named_bundles(name: str) -> Iterator[Bundle]:
    """Yield the bundles of a name: the one that comes with the package, then the one in the cache."""
    for find in (BUNDLED.joinpath, cached_bundle):
        if _exists((find(name) / MANIFEST).is_file):
            yield _read_bundle(find(name))


def open_bundle(name_or_path: str | Path, precision: str = "auto") -> Bundle:
    """Find a bundle and read its manifest.

    Parameters
    ----------
    name_or_path : str or Path
        The name of a model, or a bundle's folder. A bare name means the bundle that comes with the package, else the
        one that `edge-sam export NAME` made in the cache, even if a folder of that name exists. Write ``./name`` or
        pass a `Path` for the folder.
    precision : str
        If the package's bundle of that name lacks this precision and the cache's has it, open the cache's. A cached
        bundle therefore adds precisions and never changes what ``"auto"`` and ``"smallest"`` mean.

    Raises
    ------
    InputError
        There is no such bundle, or its manifest is damaged or of a newer version.
    """
    path, name = Path(name_or_path), str(name_or_path)
    first = None
    for bundle in named_bundles(name) if isinstance(name_or_path, str) and name == path.name else ():
        if precision in ("auto", "smallest") or bundle.runs_in(precision):
            return bundle
        first = first or bundle
    if first is not None:
        _name_the_export(first, name, precision)
        return first
    if name and _exists(path.is_dir):
        return _read_bundle(path)
    if path.suffix.lower() in GRAPH_FILES and _exists(path.is_file):
        raise InputError(
            f"{name} holds one graph of a model, not all; give the encoder as the model and its decoder as decoder"
            " (--decoder), or make a bundle with edge-sam import"
        )
    zoo = read_index()
    if name in zoo:
        raise InputError(f"the model {name} is not ready here; make it with: edge-sam export {name}")
    known = ", ".join(dict.fromkeys([*bundled_models(), *zoo]))
    raise InputError(f"no model called {name!r} and no such folder; the models are: {known}")


def _exists(check: Callable[[], bool]) -> bool:
    """Tell whether a file or folder is there. None is whose name is too long or has characters that no name has."""
    try:
        return check()
    except (OSError, ValueError):
        return False


def _name_the_export(bundle: Bundle, name: str, precision: str) -> None:
    """Raise `InputError` with the command that makes a missing precision, if one does."""
    stored = stored_as(precision)
    if name in read_index() and find_precision(stored).exact:
        raise InputError(
            f"bundle {name} has no precision {precision!r}; it has {', '.join(bundle.precisions)}; make it with:"
            f" edge-sam export {name} --precision {stored}"
        )


def _read_bundle(path: Path) -> Bundle:
    try:
        with (path / MANIFEST).open("rb") as file:
            text = file.read(_LARGEST_MANIFEST + 1)
    except OSError as error:
        raise InputError(f"{path} is not a model bundle: cannot read {MANIFEST}: {error.strerror}") from error
    if len(text) > _LARGEST_MANIFEST:
        raise InputError(f"{path} is not a model bundle: {MANIFEST} is larger than {_LARGEST_MANIFEST >> 20} MiB")
    return Bundle(path, parse_manifest(text, str(path)))


def file_sha256(path: Path) -> str:
    """Return the hex digest of a file, which is read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 18):
            digest.update(chunk)
    return digest.hexdigest()
