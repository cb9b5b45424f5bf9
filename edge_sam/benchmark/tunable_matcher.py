"""A matcher for `edge_sam.benchmark.tuning`: two phrases, and the boxes or similarities that they give."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import InputError, RuntimeUnavailableError, one_line
from edge_sam.inference.choice import Choice
from edge_sam.runtimes import AUTO, REFERENCE
from edge_sam.system.timing import elapsed_ms
from edge_sam.text.files import ChosenFiles
from edge_sam.text.guard import PHRASES, Answers, check_probe, run_probe
from edge_sam.text.loading import open_choice
from edge_sam.text.matcher import ImageText, Matcher

_SQUARES = 4
"""Squares along a side of a photograph: an image-text pair is timed on 16 of them, as if they were masks' crops."""


class TunableMatcher:
    """The files of a matcher; see `edge_sam.benchmark.tuning.Tunable`.

    Parameters
    ----------
    files : ChosenFiles
        In the most exact precision.
    """

    def __init__(self, files: ChosenFiles) -> None:
        self._files = files
        self.name = ", ".join(path.name for path in files.given)
        self.key = files.tuning_key
        self.stages: Mapping[str, int] = {"match": 1}
        self.agreement = "difference"

    def precisions(self, runtime: str) -> list[str]:
        """See `Tunable`."""
        return list(self._files.precisions) if self._files.why_unusable(runtime) is None else []

    def load(self, choice: Choice) -> Matcher:
        """See `Tunable`. Raises `InputError` only for the most exact precision: without it nothing can be compared."""
        try:
            return open_choice(self._files.in_precision(choice.precision), choice)
        except InputError as error:
            if choice.precision == self._files.precision:
                raise
            raise RuntimeUnavailableError(one_line(error)) from error

    def provider(self, loaded: Matcher) -> str:
        """See `Tunable`."""
        return loaded.facts.matcher_provider

    def compare(self, loaded: Matcher, precision: str) -> tuple[float, str | None]:
        """Return the relative difference of the scores for the guard's pictures and phrases."""
        try:
            return check_probe(run_probe(loaded), self._reference, precision)["scores"], None
        except RuntimeUnavailableError as error:
            return float("nan"), one_line(error)

    def warm_up(self, loaded: Matcher, photograph: NDArray[np.uint8]) -> None:
        """See `Tunable`."""
        _match(loaded, photograph)

    def time(self, loaded: Matcher, photograph: NDArray[np.uint8]) -> Iterator[tuple[str, float]]:
        """See `Tunable`."""
        yield "match", _match(loaded, photograph)

    @functools.cached_property
    def _reference(self) -> Answers:
        runtime = next((name for name in (REFERENCE, *AUTO) if self._files.why_unusable(name) is None), REFERENCE)
        return run_probe(open_choice(self._files, Choice(runtime, self._files.precision, None, "reference")))


def _match(matcher: Matcher, photograph: NDArray[np.uint8]) -> float:
    """Return the milliseconds for one photograph. Phrases are embedded once, as they are for many photographs."""
    if not isinstance(matcher, ImageText):
        start = time.perf_counter()
        matcher.find(photograph, PHRASES, matcher.threshold)
        return elapsed_ms(start)
    height, width = (min(side, _SQUARES) for side in photograph.shape[:2])  # No part is empty.
    rows = np.array_split(photograph, height, axis=0)
    parts = [part for row in rows for part in np.array_split(row, width, axis=1)]
    pictures = [np.asarray(cv2.resize(part, (matcher.side, matcher.side)), np.uint8) for part in parts]
    start = time.perf_counter()
    matcher.similarity(pictures, PHRASES)
    return elapsed_ms(start)
