"""From two files of another maker to a bundle."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from edge_sam.bundles.bundle import Bundle, open_bundle
from edge_sam.bundles.draft import Draft, entry
from edge_sam.bundles.manifest import (
    LAYOUT_SCHEMA,
    CheckpointSource,
    Companion,
    Component,
    ForeignLayout,
    MadeBy,
    Manifest,
    Measured,
)
from edge_sam.bundles.zoo import combined_sha256
from edge_sam.errors import InputError
from edge_sam.files.serialization import from_json, to_json
from edge_sam.imaging.preprocess import PIXEL_MEAN, PIXEL_STD
from edge_sam.imaging.view import FRAME
from edge_sam.importing.graph_file import RUNTIMES, files_of
from edge_sam.importing.pair import Given, Pair, open_pair
from edge_sam.importing.self_check import Preprocessing, Scores, best_preprocessing, check_different, scene_score
from edge_sam.inference.guard import run_probe
from edge_sam.runtimes import Tensors, backend
from edge_sam.system.machine import installed_versions
from edge_sam.version import __version__

Progress = Callable[[str], object]
"""Called with a description of each step."""


class Imported(NamedTuple):
    """A bundle, and the mean IoU with a drawn scene of each preprocessing that was tried."""

    bundle: Bundle
    scores: Scores


def import_model(
    encoder: Path,
    decoder: Path,
    output: Path,
    given: Given | None = None,
    *,
    overwrite: bool = False,
    progress: Progress = lambda _: None,
) -> Imported:
    """Make a bundle of an encoder and a decoder that another exporter wrote.

    A child process with limits on memory and time opens and runs them, because anybody may have made them.

    Parameters
    ----------
    encoder, decoder : Path
        ``.onnx``, ``.ort`` or OpenVINO's ``.xml``.
    output : Path
        Folder to make.
    given : Given, optional
        What is known about the model.
    overwrite : bool
        Whether an existing bundle may be replaced.
    progress : callable
        Called with a description of each step.

    Raises
    ------
    InputError
        A file is damaged, they do not belong together or are of an unknown layout, or the model does not segment a
        drawn scene.
    RuntimeUnavailableError
        The graphs crash the process, or go beyond its limits.
    """
    from edge_sam.system.confined import limits_for, run_confined  # Programs that import nothing start without it.

    given = given or Given()
    request = _Request(str(encoder), str(decoder), str(output), given, overwrite)
    limits = limits_for(sum(file.stat().st_size for path in (encoder, decoder) for file in _files(path)))
    answer = run_confined("edge_sam.importing.model_import:import_here", to_json(request), limits, progress)
    tried: list[tuple[Preprocessing, float]] = from_json(answer, list[tuple[Preprocessing, float]])
    return Imported(open_bundle(output), dict(tried))


class _Request(msgspec.Struct):
    encoder: str
    decoder: str
    output: str
    given: Given
    overwrite: bool


def _files(path: Path) -> list[Path]:
    """Return the files of a graph. None if it will be refused."""
    try:
        return files_of(path)
    except InputError:
        return []


def import_here(request: bytes, progress: Progress) -> bytes:
    """Import the pair of a request in this process; see `import_model`. Returns the scores."""
    wanted: _Request = from_json(request, _Request)
    encoder, decoder, given = Path(wanted.encoder), Path(wanted.decoder), wanted.given
    draft = Draft(Path(wanted.output), overwrite=wanted.overwrite)
    progress(f"reading {encoder.name} and {decoder.name}")
    pair = open_pair(encoder, decoder)

    def score(tried: Preprocessing) -> float:
        progress(f"segmenting a drawn scene ({tried})")
        return scene_score(pair.parts(tried), PIXEL_MEAN, PIXEL_STD, boxes=pair.layout.boxes)

    usual = pair.usual(given)
    probe = run_probe(pair.parts(usual))
    check_different(probe)
    best, scores = best_preprocessing(usual, pair.free(given), pair.layout.values, score)
    if best != usual:
        probe = run_probe(pair.parts(best))
    with draft:
        components = _write(draft, pair, probe)
        draft.finish(_manifest(draft.output.name, pair, given, components, best, scores))
    return to_json(list(scores.items()))


def _write(draft: Draft, pair: Pair, probe: Tensors) -> list[Component]:
    precision = pair.components[0].precision
    graphs = [
        _copied(draft.folder, path, part, precision) for path, part in zip(pair.paths, pair.components, strict=True)
    ]
    constants = draft.write("constants", precision, "npz", _npz(pair.constants))
    return [*graphs, constants, draft.write("probe", precision, "npz", _npz(probe))]


def _manifest(
    name: str, pair: Pair, given: Given, components: list[Component], best: Preprocessing, scores: Scores
) -> Manifest:
    encoder, decoder = pair.paths
    packages = backend(RUNTIMES[pair.components[0].format]).PACKAGES
    return Manifest(
        schema=LAYOUT_SCHEMA,
        name=name,
        family=pair.layout.name,
        source=CheckpointSource(f"{encoder.name}, {decoder.name}", _identity(pair, best), given.url, given.license),
        made_by=MadeBy(
            f"edge-sam import {encoder.name} {decoder.name} --output {name}{_options(given)}",
            {"edge-sam": __version__, **installed_versions(packages)},
        ),
        frame=FRAME,
        pixel_mean=PIXEL_MEAN,
        pixel_std=PIXEL_STD,
        components=tuple(components),
        measured=(
            Measured(
                "mean IoU with the objects of a drawn scene, by preprocessing",
                components[0].precision,
                "a point and a box on each of 4 objects, the mask with the best predicted IoU",
                {str(tried): round(score, 4) for tried, score in scores.items()},
            ),
        ),
        contract=best.contract(pair.layout.contract),
        layout=ForeignLayout(pair.layout.name, best.values, best.channels),
    )


def _options(given: Given) -> str:
    """Return the options of the command line for what was stated about the preprocessing."""
    options = [f" --{field} {value}" for field in ("values", "channels") if (value := getattr(given, field))]
    if given.padded is not None:
        options.append(" --padded" if given.padded else " --stretched")
    return "".join(options)


def _identity(pair: Pair, best: Preprocessing) -> str:
    """Return the sha256 that embeddings are known by. They depend on the preprocessing as well as on the weights."""
    encoder, decoder = pair.components
    files = {"encoder": encoder.sha256, "decoder": decoder.sha256}
    files |= {each.companion.file: each.companion.sha256 for each in pair.components if each.companion}
    return combined_sha256({**files, "preprocessing": str(best)})


def _copied(folder: Path, path: Path, part: Component, precision: str) -> Component:
    """Copy a graph, and its weights if they are in a second file, and return its entry."""
    file = folder / f"{part.role}.{precision}{path.suffix.lower()}"
    shutil.copyfile(path, file)
    companion = None
    if part.companion is not None:
        weights = path.parent / part.companion.file
        # An ONNX file names its weights; OpenVINO looks for them under the graph's name.
        copy = file.with_suffix(".bin") if part.format == "openvino" else folder / weights.name
        if copy.exists():
            raise InputError(f"both graphs keep their weights in a file called {weights.name}; save one under another")
        shutil.copyfile(weights, copy)
        companion = Companion(**entry(copy))
    return msgspec.structs.replace(part, precision=precision, companion=companion, **entry(file))


def _npz(arrays: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()
