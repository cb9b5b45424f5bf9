"""The files of a matcher, chosen and hashed before any of them is opened."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_sam.bundles.bundle import file_sha256
from edge_sam.errors import InputError
from edge_sam.importing.graph_file import files_of
from edge_sam.inference.cache import files_key, files_tuning_key
from edge_sam.runtimes import backend, why_unusable
from edge_sam.runtimes.file_identity import file_identity
from edge_sam.text.graphs import PRECISIONS, GraphFile, choose_graphs, side_folders
from edge_sam.text.manifest import MATCHER, MatcherManifest, check_files, read_manifest
from edge_sam.text.matcher_files import SideFiles


@dataclass(frozen=True, eq=False)
class ChosenFiles:
    """The files of a matcher in one precision.

    Attributes
    ----------
    given : tuple of Path
        The files and folders that they were chosen from.
    asked : str
        The precision that was asked for.
    graphs : tuple of GraphFile
        The graphs.
    hashes : mapping of Path to str
        sha256 of the files of the graphs, and of those with their weights.
    beside : SideFiles
        The files beside the graphs.
    identity : mapping of Path to tuple
        What tells whether a file was changed since it was hashed, or is new. Also for the files beside the graphs.
    manifest : MatcherManifest, optional
        That of a packed matcher.
    """

    given: tuple[Path, ...]
    asked: str
    graphs: tuple[GraphFile, ...]
    hashes: Mapping[Path, str]
    beside: SideFiles
    identity: Mapping[Path, tuple[int, ...]]
    manifest: MatcherManifest | None = None

    @property
    def precision(self) -> str:
        """The least exact precision of the graphs."""
        return _least_exact(graph.precision for graph in self.graphs)

    @property
    def size(self) -> int:
        """Bytes of the graphs with their weights."""
        return sum(path.stat().st_size for path in self.hashes)

    def key(self, runtime: str, options: Mapping[str, str]) -> str:
        """Return a key for everything that affects the answers in a runtime here."""
        return files_key([*sorted(self.hashes.values()), *self._beside_hashes], runtime, self.precision, options)

    @functools.cached_property
    def _beside_hashes(self) -> list[str]:
        return [f"{file.name} {file_sha256(file)}" for file in self.beside.candidates()]

    @property
    def tuning_key(self) -> str:
        """A key for everything that affects which choice is the fastest here. It is the same in all `precisions`."""
        if self.manifest is None:
            return files_tuning_key({self.precision: sorted(self.hashes.values())})
        return files_tuning_key({each.file: [each.sha256] for each in self.manifest.files})

    @property
    def precisions(self) -> dict[str, str]:
        """The precisions that may be chosen, and what to ask for: all of a packed matcher, else only this one."""
        if self.manifest is None:
            return {self.precision: self.asked}
        found: dict[str, str] = {}
        for asked in ("auto", *PRECISIONS):
            with contextlib.suppress(InputError):  # A part does not have it.
                graphs = self.manifest.graphs(asked)
                found.setdefault(_least_exact(graph.precision for graph in graphs), asked)
        return found

    def in_precision(self, precision: str) -> ChosenFiles:
        """Return the files of one of the `precisions`."""
        if self.manifest is None or precision == self.precision:
            return self
        return _of_packed(self.given[0], self.manifest, self.precisions[precision], self.identity)

    def why_unusable(self, runtime: str) -> str | None:
        """Return None if a runtime is usable here with these files, else the reason in one line."""
        reason = why_unusable(runtime)
        if reason is None and backend(runtime).BUILDS_ENGINES:
            return "it builds engines for edge_sam's own graphs only, not for imported ones"
        if reason is None and not self.read_by(runtime):
            return f"it does not read {', '.join(graph.path.name for graph in self.graphs)}"
        return reason

    def read_by(self, runtime: str) -> bool:
        """Tell whether a runtime reads the format of every graph."""
        return {graph.format for graph in self.graphs} <= set(backend(runtime).MODEL_FORMATS)

    @contextlib.contextmanager
    def unchanged(self) -> Iterator[None]:
        """Check before and after that what is opened meanwhile is what was hashed. Raises `InputError`."""
        self._check_unchanged()
        try:
            yield
        finally:
            self._check_unchanged()

    def _check_unchanged(self) -> None:
        for path, before in self.identity.items():
            if file_identity(path) != (before,):
                raise InputError(f"{path} was changed while it was loaded; load it again")


def choose_files(files: str | Path | Sequence[str | Path], precision: str = "auto") -> ChosenFiles:
    """Choose and hash the files of a matcher. None is opened by a runtime.

    Parameters
    ----------
    files, precision
        See `edge_sam.load_matcher`.

    Raises
    ------
    InputError
        There is no graph, none in this precision, or a file is missing or not that of `matcher.json`.
    """
    given = [files] if isinstance(files, str | Path) else files
    if not isinstance(given, Sequence) or not given or not all(isinstance(file, str | Path) for file in given):
        raise InputError("a matcher is a folder, or one or more files, of a text model; docs/text.md names some")
    if precision not in ("auto", "smallest", *PRECISIONS):
        raise InputError(f"unknown precision {precision!r}; known: auto, smallest, {', '.join(PRECISIONS)}")
    paths = tuple(Path(file) for file in given)
    manifest = read_manifest(paths[0]) if len(paths) == 1 else None
    if manifest is not None:
        places = SideFiles([paths[0]]).places()
        identity = _identity([*(paths[0] / each.file for each in manifest.files), *places])
        check_files(paths[0], manifest)
        return _of_packed(paths[0], manifest, precision, identity)
    graphs = tuple(choose_graphs(paths, precision))
    parts = [file for graph in graphs for file in files_of(graph.path)]
    beside = SideFiles(side_folders(graphs))
    identity = _identity([*parts, *beside.places()])
    try:
        hashes = {path: file_sha256(path) for path in parts}
    except OSError as error:
        raise InputError(f"cannot read {error.filename}: {error.strerror}") from error
    return ChosenFiles(paths, precision, graphs, hashes, beside, identity)


def _of_packed(
    folder: Path, manifest: MatcherManifest, precision: str, identity: Mapping[Path, tuple[int, ...]]
) -> ChosenFiles:
    graphs = tuple(GraphFile(folder / each.file, each.precision) for each in manifest.graphs(precision))
    known = {folder / each.file: each.sha256 for each in manifest.files}
    parts = [file for graph in graphs for file in files_of(graph.path)]
    beside = SideFiles([folder])
    for path in (*parts, *beside.candidates()):
        if path not in known:
            raise InputError(f"matcher {folder}: {MATCHER} does not name {path.name}; remove it or import again")
    hashes = {path: known[path] for path in parts}
    return ChosenFiles((folder,), precision, graphs, hashes, beside, identity, manifest)


def _least_exact(precisions: Iterable[str]) -> str:
    return max(precisions, key=PRECISIONS.index)


def _identity(paths: Sequence[Path]) -> dict[Path, tuple[int, ...]]:
    return dict(zip(paths, file_identity(*paths), strict=True))
