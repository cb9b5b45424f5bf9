"""`edge-sam import --matcher`: the files of a text model, checked, in one folder with their hashes and licence."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from edge_sam.bundles.draft import entry
from edge_sam.bundles.manifest import MadeBy
from edge_sam.errors import InputError, RuntimeUnavailableError
from edge_sam.files.atomic import check_output_folder
from edge_sam.inference.run_options import RunOptions
from edge_sam.runtimes import REFERENCE, backend
from edge_sam.system.machine import installed_versions
from edge_sam.text.checked import FoundMatcher, recognise
from edge_sam.text.files import choose_files
from edge_sam.text.graphs import Graph
from edge_sam.text.guard import check_probe, run_probe
from edge_sam.text.loading import find_matcher, open_matcher
from edge_sam.text.manifest import MATCHER, SCHEMA, MatcherFile, MatcherManifest
from edge_sam.text.matcher import ImageText, Matcher
from edge_sam.version import __version__

_TERMS = ("LICENSE", "LICENSE.txt", "LICENSE.md", "NOTICE")


class Packed(NamedTuple):
    """A packed matcher: its folder, its manifest, and whether it compares pictures with words."""

    folder: Path
    manifest: MatcherManifest
    compares: bool


def pack_matcher(
    files: Sequence[Path],
    output: Path,
    *,
    precision: str = "auto",
    license: str = "unknown",
    url: str = "",
    overwrite: bool = False,
    quantize: Callable[[Path, Path], None] | None = None,
) -> Packed:
    """Check a text model and copy it with what it needs into a folder.

    Parameters
    ----------
    files, precision
        See `edge_sam.load_matcher`.
    output : Path
        Folder to make.
    license, url : str
        Under which terms the model is, and where it comes from.
    overwrite : bool
        Whether an existing matcher may be replaced.
    quantize : callable, optional
        Writes an int8 copy of an ``.onnx`` file. The copies are packed beside the graphs, as another precision.

    Raises
    ------
    InputError
        The files are not those of a matcher that answers (see `edge_sam.load_matcher`), the folder exists, or the
        int8 copies answer too differently.
    """
    _refuse_existing(output, overwrite)
    check_output_folder(output.parent)
    chosen = choose_files(list(files), precision)
    matcher = open_matcher(chosen, RunOptions(runtime=REFERENCE, strict=True))
    found = recognise(chosen)
    target = Path(os.path.realpath(output))
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.", suffix=".part") as temporary:
        folder = Path(temporary) / "new"
        folder.mkdir()
        manifest = MatcherManifest(
            SCHEMA,
            target.name,
            found.layout.name,
            license,
            url,
            MadeBy(_command(files, target), _versions()),
            (*_copied(found, folder), *_quantized(found, folder, quantize)),
        )
        _copy_terms(files, folder)
        (folder / MATCHER).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
        find_matcher(folder)  # What cannot be found again must not replace what could.
        if quantize is not None:
            _compare_precisions(folder, matcher)
        if target.exists():
            target.rename(Path(temporary) / "old")
        folder.rename(target)
    return Packed(target, manifest, isinstance(matcher, ImageText))


def _copied(found: FoundMatcher, folder: Path) -> Iterator[MatcherFile]:
    """Copy the graphs, their weights, and the files beside them that were read. Yields their entries."""
    for part, graph in found.parts.items():
        yield from _copied_graph(part, graph, folder)
    for source in found.files.beside.used:
        shutil.copyfile(source, folder / source.name)
        yield MatcherFile(**entry(folder / source.name))


def _copy_terms(files: Sequence[Path], folder: Path) -> None:
    """Copy the terms of the folders that were given. Those of a folder above may be another model's."""
    for source in files:
        for name in _TERMS:
            if (source / name).is_file() and not (folder / name).exists():
                shutil.copyfile(source / name, folder / name)


def _copied_graph(part: str, graph: Graph, folder: Path) -> Iterator[MatcherFile]:
    file = folder / f"{part}.{graph.precision}{graph.path.suffix.lower()}"
    shutil.copyfile(graph.path, file)
    yield MatcherFile(**entry(file), part=part, precision=graph.precision)
    for weights in graph.files[1:]:
        # An ONNX file names its weights; OpenVINO looks for them under the graph's name.
        copy = file.with_suffix(".bin") if graph.format == "openvino" else folder / weights.name
        if copy.exists():
            raise InputError(
                f"two graphs keep their weights in a file called {weights.name}; save one under another name"
            )
        shutil.copyfile(weights, copy)
        yield MatcherFile(**entry(copy))


def _quantized(
    found: FoundMatcher, folder: Path, quantize: Callable[[Path, Path], None] | None
) -> Iterator[MatcherFile]:
    """Write int8 copies of the packed graphs. Yields their entries."""
    for part, graph in found.parts.items() if quantize is not None else ():
        if graph.format != "onnx" or graph.precision != "fp32":
            raise InputError(
                f"int8 is made of .onnx files in fp32; {graph.path.name} is {graph.format} {graph.precision}"
            )
        assert quantize is not None
        file = folder / f"{part}.int8.onnx"
        quantize(folder / f"{part}.fp32.onnx", file)
        yield MatcherFile(**entry(file), part=part, precision="int8")


def _compare_precisions(folder: Path, exact: Matcher) -> None:
    """Raise `InputError` if the int8 graphs of a packed matcher answer the test pictures too differently."""
    quantised = open_matcher(choose_files(folder, "int8"), RunOptions(runtime=REFERENCE, strict=True))
    try:
        check_probe(run_probe(quantised), run_probe(exact), "int8")
    except RuntimeUnavailableError as error:
        raise InputError(f"int8 does not suit this model: {error}; leave out --int8") from error


def _refuse_existing(output: Path, overwrite: bool) -> None:
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not (output / MATCHER).is_file():
        raise InputError(f"{output} exists and is not a matcher; choose another folder")
    if not overwrite:
        raise InputError(f"{output} already exists; give --overwrite to replace it")


def _command(files: Sequence[Path], output: Path) -> str:
    given = " ".join(f"--matcher {file.name}" for file in files)
    return f"edge-sam import {given} --output {output.name}"


def _versions() -> dict[str, str]:
    return {"edge-sam": __version__, **installed_versions((*backend(REFERENCE).PACKAGES, "tokenizers"))}
