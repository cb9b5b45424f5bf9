"""From the files of a text model to a matcher."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from edge_sam.errors import RuntimeFallbackWarning, RuntimeUnavailableError, one_line
from edge_sam.inference.choice import FIRST_USABLE, Choice, check_runtime, thread_count, tuned
from edge_sam.inference.run_options import RunOptions
from edge_sam.runtimes import AUTO, without_encoder
from edge_sam.text.checked import FoundMatcher, load_checked, recognise
from edge_sam.text.files import ChosenFiles, choose_files
from edge_sam.text.matcher import ImageText, Matcher, TextBoxes
from edge_sam.text.tokens import load_package
from edge_sam.text.trial import try_out

_log = logging.getLogger("edge_sam")


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
        ``"auto"`` for the most exact that the folder has, or the one that was tuned; ``"smallest"``, or ``"fp32"``,
        ``"fp16"``, ``"int8"``, ``"int4"``.

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
    return open_matcher(choose_files(files, precision), run)


def find_matcher(files: str | Path | Sequence[str | Path], precision: str = "auto") -> FoundMatcher:
    """Find out what files are that have been loaded before; see `load_matcher`."""
    return recognise(choose_files(files, precision))


def open_matcher(files: ChosenFiles, run: RunOptions) -> Matcher:
    """Load the first choice that answers rightly; see `load_matcher`."""
    load_package()  # Without it no runtime helps.
    first, others = _choices(files, run)
    causes: list[str] = []
    for variant, choice in [*first, *others]:
        try:
            matcher = open_choice(variant, choice)
        except RuntimeUnavailableError as error:
            causes.append(f"{choice.runtime}: {one_line(error)}")
            if first and run.strict:
                break
            _log.info("the matcher does not run on %s: %s", choice.runtime, error)
            continue
        if first and causes:  # Nobody asked for those before it without a first choice.
            message = f"using {choice.runtime} for the matcher: {'; '.join(causes)}"
            warnings.warn(message, RuntimeFallbackWarning, stacklevel=2)
        _log.info("the matcher runs on %s in %s: %s", choice.runtime, variant.precision, choice.why)
        return matcher
    raise RuntimeUnavailableError("no usable runtime for the matcher; " + "; ".join(causes))


def open_choice(files: ChosenFiles, choice: Choice) -> Matcher:
    """Load a matcher in one runtime: in a child process first if it is new here.

    Raises
    ------
    InputError
        The files are at fault.
    RuntimeUnavailableError
        The runtime is.
    """
    reason = files.why_unusable(choice.runtime)
    if reason is not None:
        raise RuntimeUnavailableError(reason)
    try_out(files, choice)
    return load_checked(files, choice)


_Ways = list[tuple[ChosenFiles, Choice]]


def _choices(files: ChosenFiles, run: RunOptions) -> tuple[_Ways, _Ways]:
    """Return what was asked for or measured as the fastest, and then what else may be tried."""
    check_runtime(run)
    run = replace(run, runtime=without_encoder(run.runtime))
    count = thread_count(run.threads)
    if run.runtime != "auto":
        first = [(files, Choice(run.runtime, files.precision, count, "asked for", run.options))]
    else:
        asked = "auto" if files.asked == "auto" else files.precision
        best = tuned(files.tuning_key, files.precisions, asked, count)
        first = [(files.in_precision(choice.precision), choice) for choice in best]
    others = [
        (files, Choice(runtime, files.precision, count, FIRST_USABLE)) for runtime in AUTO if runtime != run.runtime
    ]
    return first, others
