"""The first load of a matcher that is new here, in a child process; see `edge_sam.inference.trial`."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from edge_sam.files.serialization import from_json, to_json
from edge_sam.inference.choice import Choice
from edge_sam.inference.trial import is_judged, run_trial
from edge_sam.runtimes import REFERENCE
from edge_sam.text.checked import find_verdict, load_checked
from edge_sam.text.files import ChosenFiles, choose_files


class _Request(msgspec.Struct):
    files: list[str]
    precision: str
    runtime: str
    threads: int | None
    options: dict[str, str]


def try_out(files: ChosenFiles, choice: Choice) -> None:
    """Load a matcher in a child process, unless the guard has a verdict on it; see `run_trial`."""
    if is_judged(files.key(choice.runtime, choice.options), lambda: find_verdict(files, choice)):
        return
    given = [str(path) for path in files.given]
    request = _Request(given, files.asked, choice.runtime, choice.threads, {**choice.options})
    size = files.size if choice.runtime == REFERENCE else 2 * files.size  # The guard loads the reference beside it.
    run_trial("edge_sam.text.trial:load", to_json(request), choice.runtime, size)


def load(request: bytes, _progress: Callable[[str], object]) -> bytes:
    """Load the matcher of a request. Runs in the child process."""
    wanted = from_json(request, _Request)
    choice = Choice(wanted.runtime, wanted.precision, wanted.threads, "trial", wanted.options)
    load_checked(choose_files(wanted.files, wanted.precision), choice)
    return b""
