"""A matcher in one runtime, checked there once for each machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from edge_sam.errors import InputError, RuntimeUnavailableError, one_line
from edge_sam.inference.cache import Verdict, read_verdict, write_record
from edge_sam.inference.choice import Choice
from edge_sam.inference.compiled import CompiledFiles
from edge_sam.runtimes import REFERENCE, SessionOptions, backend, split_runtime
from edge_sam.text.files import ChosenFiles
from edge_sam.text.graphs import Graph, read_graph
from edge_sam.text.guard import Answers, check_probe, probe_bounds, run_probe
from edge_sam.text.known_layouts import find_layout
from edge_sam.text.matcher import Matcher, MatcherFacts
from edge_sam.text.matcher_files import MatcherLayout, OpenGraph


@dataclass(frozen=True)
class FoundMatcher:
    """The files of a matcher, recognised.

    Attributes
    ----------
    files : ChosenFiles
        The files.
    layout : MatcherLayout
        What they are.
    parts : mapping of str to Graph
        The graphs by part.
    """

    files: ChosenFiles
    layout: MatcherLayout
    parts: Mapping[str, Graph]

    @property
    def hashes(self) -> dict[str, str]:
        """sha256 of each file of the graphs by part and name, such as ``text/model.onnx``: names may be equal."""
        hashes = self.files.hashes
        return {f"{part}/{file.name}": hashes[file] for part, graph in self.parts.items() for file in graph.files}


def recognise(files: ChosenFiles) -> FoundMatcher:
    """Find out what files are. A runtime opens them for it, so `edge_sam.text.trial.try_out` comes first.

    Raises
    ------
    InputError
        A file is damaged, or they are of no known layout.
    """
    with files.unchanged():
        return FoundMatcher(files, *find_layout([read_graph(graph) for graph in files.graphs]))


def find_verdict(files: ChosenFiles, choice: Choice) -> Verdict | None:
    """Read what the guard said of a choice. None if it has not seen it."""
    key, bounds = files.key(choice.runtime, choice.options), probe_bounds(files.precision)
    return read_verdict(key, choice.runtime, files.precision, bounds)


def load_checked(files: ChosenFiles, choice: Choice) -> Matcher:
    """Load a matcher in a runtime that reads its files, and check its answers there.

    Raises
    ------
    InputError
        The files are damaged, of no known layout, or do not belong together.
    RuntimeUnavailableError
        The runtime cannot load them, or computes wrong results.
    """
    verdict = _accepted(files, choice)
    found = recognise(files)
    key = files.key(choice.runtime, choice.options)
    compiled = CompiledFiles(key)
    known = verdict is not None and compiled.match(verdict.compiled)
    if known:
        matcher = _open(found, choice, compiled)
        if not compiled.changed:
            return matcher
    with compiled.alone():
        if known:  # OpenVINO compiles again for a model at another path or of another date.
            _keep_verdict(found, matcher, choice, compiled)
            return matcher
        verdict = _accepted(files, choice)  # Another process may have judged it meanwhile.
        compiled.keep_only({} if verdict is None else verdict.compiled)
        matcher = _open(found, choice, compiled)
        if verdict is None or compiled.changed:
            _keep_verdict(found, matcher, choice, compiled)
    return matcher


def _keep_verdict(found: FoundMatcher, matcher: Matcher, choice: Choice, compiled: CompiledFiles) -> None:
    """Write the guard's verdict. Raises `RuntimeUnavailableError` if it rejects the runtime."""
    verdict = msgspec.structs.replace(_judge(found, matcher, choice), compiled=compiled.hashes())
    write_record(found.files.key(choice.runtime, choice.options), verdict)
    _raise_if_rejected(verdict)


def _accepted(files: ChosenFiles, choice: Choice) -> Verdict | None:
    """Return the guard's verdict so far. Raises `RuntimeUnavailableError` if it rejects the runtime."""
    verdict = find_verdict(files, choice)
    _raise_if_rejected(verdict)  # A rejected runtime need not compile first.
    return verdict


def _open(found: FoundMatcher, choice: Choice, compiled: CompiledFiles | None = None) -> Matcher:
    parts = {}
    with found.files.unchanged():
        for part, graph in found.parts.items():
            cache = None if compiled is None else compiled.folder(part)
            options = SessionOptions(choice.threads, split_runtime(choice.runtime)[1], cache, extra=choice.options)
            parts[part] = OpenGraph(graph, backend(choice.runtime).open_session(graph.path, options))
        provider = next(iter(parts.values())).session.provider
        facts = MatcherFacts(found.layout.name, found.hashes, found.files.precision, provider)
        try:
            return found.layout.open(parts, found.files.beside, facts)
        except RuntimeUnavailableError as error:
            raise _unanswered(choice.runtime, error) from error


def _judge(found: FoundMatcher, matcher: Matcher, choice: Choice) -> Verdict:
    """Run the guard. Raises `InputError` where the reference runtime cannot answer: then the files are at fault."""
    runtime, precision = choice.runtime, found.files.precision
    answers = _probe(matcher, runtime)
    reference: Answers | None = None
    if runtime != REFERENCE and found.files.read_by(REFERENCE):
        reference = _probe(_open(found, Choice(REFERENCE, precision, None, "reference")), REFERENCE)
    try:
        differences = check_probe(answers, reference, precision)
    except RuntimeUnavailableError as error:
        if runtime == REFERENCE:
            names = ", ".join(graph.path.name for graph in found.parts.values())
            raise InputError(f"{names} cannot be used: {error}") from error
        return Verdict(runtime, precision, str(error), {})
    return Verdict(runtime, precision, None, differences)


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


def _raise_if_rejected(verdict: Verdict | None) -> None:
    if verdict is not None and verdict.rejected is not None:
        raise RuntimeUnavailableError(f"it computes wrong results: {verdict.rejected}")
