"""From the files of a text model to a matcher."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_sam.bundles.bundle import file_sha256
from edge_sam.errors import InputError, RuntimeFallbackWarning, RuntimeUnavailableError, one_line
from edge_sam.files.cache_home import cache_home
from edge_sam.inference.cache import Verdict, files_key, read_record, write_record
from edge_sam.inference.choice import thread_count
from edge_sam.inference.run_options import RunOptions
from edge_sam.runtimes import AUTO, BACKENDS, REFERENCE, SessionOptions, backend, split_runtime, why_unusable
from edge_sam.text.graphs import PRECISIONS, Graph, find_graphs, read_graph, side_folders
from edge_sam.text.guard import Answers, check_probe, run_probe
from edge_sam.text.layout import MatcherLayout, OpenGraph, SideFiles
from edge_sam.text.layouts import find_layout
from edge_sam.text.manifest import read_manifest
from edge_sam.text.matcher import ImageText, Matcher, MatcherFacts, TextBoxes

_log = logging.getLogger("edge_sam")


@dataclass(frozen=True)
class FoundMatcher:
    """The files of a matcher, recognised but not loaded.

    Attributes
    ----------
    layout : MatcherLayout
        What they are.
    parts : mapping of str to Graph
        The graphs by part.
    hashes : mapping of str to str
        sha256 of each file of the graphs by part and name, such as ``text/model.onnx``: two parts may have files of
        one name.
    beside : SideFiles
        The files beside the graphs. Which of them are used is known after `open_matcher`.
    """

    layout: MatcherLayout
    parts: Mapping[str, Graph]
    hashes: Mapping[str, str]
    beside: SideFiles

    @property
    def precision(self) -> str:
        """The least exact precision of the graphs."""
        return max((graph.precision for graph in self.parts.values()), key=PRECISIONS.index)


def find_matcher(files: str | Path | Sequence[str | Path], precision: str = "auto") -> FoundMatcher:
    """Find out what files are; see `load_matcher`."""
    given = [files] if isinstance(files, str | Path) else files
    if not isinstance(given, Sequence) or not given or not all(isinstance(file, str | Path) for file in given):
        raise InputError("a matcher is a folder, or one or more files, of a text model; docs/text.md names some")
    if precision not in ("auto", "smallest", *PRECISIONS):
        raise InputError(f"unknown precision {precision!r}; known: auto, smallest, {', '.join(PRECISIONS)}")
    paths = [Path(file) for file in given]
    manifest = read_manifest(paths[0]) if len(paths) == 1 else None
    if manifest is None:
        graphs = find_graphs(paths, precision)
    else:
        graphs = [read_graph(paths[0] / each.file, each.precision) for each in manifest.graphs(precision)]
    layout, parts = find_layout(graphs)
    hashes = {f"{part}/{file.name}": file_sha256(file) for part, graph in parts.items() for file in graph.files}
    return FoundMatcher(layout, parts, hashes, SideFiles(side_folders(list(parts.values()))))


def load_matcher(
    files: str | Path | Sequence[str | Path],
    *,
    runtime: str = RunOptions.runtime,
    precision: str = RunOptions.precision,
    threads: int | None = RunOptions.threads,
    strict: bool = RunOptions.strict,
    options: Mapping[str, str] | None = None,
) -> TextBoxes | ImageText:
    """Load a model that finds words in pictures, for `TextSegmenter`.

    The names and shapes of its inputs say what it is: OWLv2, Grounding DINO, YOLO-World with a CLIP text
    model, CLIP, MobileCLIP2 or SigLIP. docs/text.md says where to get one. Its tokenizer and the sizes of its
    pictures are read from the files beside it.

    Parameters
    ----------
    files : str, Path or sequence of these
        A folder, as it comes from Hugging Face or from ``edge-sam import --matcher``, or the files of the graphs.
    runtime, threads, strict, options
        See `edge_sam.load`.
    precision : str
        ``"auto"`` for the most exact that the folder has, ``"smallest"``, or ``"fp32"``, ``"fp16"``, ``"int8"``,
        ``"int4"``.

    Returns
    -------
    TextBoxes or ImageText
        A matcher that two pictures and two phrases have been tried on.

    Raises
    ------
    InputError
        The files are missing, damaged or of no known layout, do not belong together, or lack the tokenizer or the
        preprocessing.
    MissingExtraError
        The package `tokenizers` is not installed.
    RuntimeUnavailableError
        No runtime is usable here. With `strict`: the requested runtime is not usable.
    """
    run = RunOptions(runtime=runtime, threads=threads, strict=strict, options=dict(options or {}))
    return open_matcher(find_matcher(files, precision), run)


def open_matcher(found: FoundMatcher, run: RunOptions) -> Matcher:
    """Load the first runtime that answers rightly; see `load_matcher`."""
    if run.runtime != "auto" and split_runtime(run.runtime)[0] not in BACKENDS:
        raise InputError(f"unknown runtime {run.runtime!r}; known: auto, {', '.join(BACKENDS)}")
    named = [] if run.runtime == "auto" else [run.runtime]
    causes: list[str] = []
    for runtime in [*named, *(name for name in AUTO if name != run.runtime)]:
        options = run.options if runtime == run.runtime else {}
        try:
            matcher = _load(found, runtime, thread_count(run.threads), options)
        except RuntimeUnavailableError as error:
            causes.append(f"{runtime}: {one_line(error)}")
            if runtime in named and run.strict:
                break
            _log.info("the matcher does not run on %s: %s", runtime, error)
            continue
        if named and causes:  # Nobody asked for those before it with auto.
            message = f"using {runtime} for the matcher: {'; '.join(causes)}"
            warnings.warn(message, RuntimeFallbackWarning, stacklevel=2)
        return matcher
    raise RuntimeUnavailableError("no usable runtime for the matcher; " + "; ".join(causes))


def _load(found: FoundMatcher, runtime: str, threads: int | None, options: Mapping[str, str]) -> Matcher:
    """Load in one runtime, and check its answers there once for each machine."""
    reason = why_unusable(runtime)
    if reason is not None:
        raise RuntimeUnavailableError(reason)
    if backend(runtime).BUILDS_ENGINES:
        raise RuntimeUnavailableError("it builds engines for edge_sam's own graphs only, not for imported ones")
    hashes = sorted(found.hashes.values())
    cache = _cache(files_key(hashes, runtime, found.precision, options))
    matcher = _open(found, runtime, SessionOptions(threads, split_runtime(runtime)[1], cache, extra=options))
    beside = [file_sha256(file) for file in found.beside.used]
    key = files_key([*hashes, *beside], runtime, found.precision, options)
    verdict = read_record(key, Verdict)
    if verdict is None:
        verdict = _judge(found, matcher, runtime)
        write_record(key, verdict)
    if verdict.rejected is not None:
        raise RuntimeUnavailableError(f"it computes wrong results: {verdict.rejected}")
    return matcher


def _open(found: FoundMatcher, runtime: str, options: SessionOptions) -> Matcher:
    parts = {}
    for part, graph in found.parts.items():
        if graph.format not in backend(runtime).MODEL_FORMATS:
            raise RuntimeUnavailableError(f"it does not read {graph.path.name}")
        parts[part] = OpenGraph(graph, backend(runtime).open_session(graph.path, options))
    provider = next(iter(parts.values())).session.provider
    facts = MatcherFacts(found.layout.name, dict(found.hashes), found.precision, provider)
    try:
        return found.layout.open(parts, found.beside, facts)
    except RuntimeUnavailableError as error:
        raise _unanswered(runtime, error) from error


def _judge(found: FoundMatcher, matcher: Matcher, runtime: str) -> Verdict:
    """Run the guard. Raises `InputError` where the reference runtime cannot answer: then the files are at fault."""
    answers = _probe(matcher, runtime)
    reference: Answers | None = None
    if runtime != REFERENCE and _formats(found) <= set(backend(REFERENCE).MODEL_FORMATS):
        reference = _probe(_open(found, REFERENCE, SessionOptions()), REFERENCE)
    try:
        difference = check_probe(answers, reference, found.precision)
    except RuntimeUnavailableError as error:
        if runtime == REFERENCE:
            names = ", ".join(graph.path.name for graph in found.parts.values())
            raise InputError(f"{names} cannot be used: {error}") from error
        return Verdict(runtime, found.precision, str(error), {})
    return Verdict(runtime, found.precision, None, {"answers": difference})


def compare_precisions(folder: Path, exact: Matcher) -> None:
    """Raise `InputError` if the int8 graphs of a packed matcher answer the test pictures too differently."""
    quantised = open_matcher(find_matcher(folder, "int8"), RunOptions(runtime=REFERENCE, strict=True))
    try:
        check_probe(run_probe(quantised), run_probe(exact), "int8")
    except RuntimeUnavailableError as error:
        raise InputError(f"int8 does not suit this model: {error}; leave out --int8") from error


def _probe(matcher: Matcher, runtime: str) -> Answers:
    try:
        return run_probe(matcher)
    except RuntimeUnavailableError as error:
        raise _unanswered(runtime, error) from error


def _unanswered(runtime: str, error: RuntimeUnavailableError) -> InputError | RuntimeUnavailableError:
    text = f"the text model does not answer a test picture and phrase: {one_line(error)}"
    if runtime != REFERENCE:
        return RuntimeUnavailableError(text)
    return InputError(f"{text}; the tokenizer or a file may be that of another model")


def _formats(found: FoundMatcher) -> set[str]:
    return {graph.format for graph in found.parts.values()}


def _cache(key: str) -> Path | None:
    folder = cache_home() / "compiled" / key / "matcher"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None  # Without a cache the model is compiled at each start.
    return folder
