"""A model for `edge_sam.benchmark.tuning`: clicks, and the masks that they give."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_sam.bundles.bundle import Bundle
from edge_sam.bundles.precisions import find_precision
from edge_sam.imaging.masks import iou
from edge_sam.inference.cache import tuning_key
from edge_sam.inference.choice import Choice, why_not
from edge_sam.loading import load_choice
from edge_sam.predictor import Predictor
from edge_sam.prompts import Prompt
from edge_sam.result import Result
from edge_sam.runtimes import REFERENCE, arithmetics
from edge_sam.system.timing import elapsed_ms

CLICKS = 3
"""Clicks per photograph in the time that candidates are ranked by, because people click more than once."""
_GRID = (0.2, 0.4, 0.6, 0.8)


class TunableModel:
    """A bundle; see `edge_sam.benchmark.tuning.Tunable`. A click goes from one point to three masks at full size.

    Parameters
    ----------
    bundle : Bundle
        The model.
    photographs : sequence of ndarray of uint8, (height, width, 3)
        RGB. The masks of their points are compared.
    """

    def __init__(self, bundle: Bundle, photographs: Sequence[NDArray[np.uint8]]) -> None:
        self._bundle, self._photographs = bundle, photographs
        self.name, self.key = bundle.manifest.name, tuning_key(bundle)
        self.stages: Mapping[str, int] = {"encode": 1, "click": CLICKS}
        self.agreement = "iou"

    def precisions(self, runtime: str) -> list[str]:
        """See `Tunable`: the bundle's precisions, and the runtime's own arithmetics."""
        if why_not(self._bundle, runtime) is not None:
            return []
        return [*self._bundle.precisions, *filter(self._bundle.runs_in, arithmetics(runtime))]

    def load(self, choice: Choice) -> Predictor:
        """See `Tunable`."""
        return load_choice(self._bundle, choice)

    def provider(self, loaded: Predictor) -> str:
        """See `Tunable`."""
        return loaded.provider

    def compare(self, loaded: Predictor, precision: str) -> tuple[float, str | None]:
        """Return the mean IoU with the reference's masks over all photographs and points."""
        pairs = zip(self._masks(loaded), self._reference, strict=True)
        mean = float(np.mean([iou(ours.masks[0], theirs.masks[0]) for ours, theirs in pairs]))
        needed = find_precision(precision).min_iou
        if mean < needed:
            return mean, f"its masks have a mean IoU of only {mean:.3f} with the reference's ({needed} needed)"
        return mean, None

    def warm_up(self, loaded: Predictor, photograph: NDArray[np.uint8]) -> None:
        """See `Tunable`."""
        loaded.warm_up(photograph)

    def time(self, loaded: Predictor, photograph: NDArray[np.uint8]) -> Iterator[tuple[str, float]]:
        """See `Tunable`."""
        start = time.perf_counter()
        embedding = loaded.encode(photograph)
        yield "encode", elapsed_ms(start)
        for prompt in list(_points(photograph))[:CLICKS]:
            start = time.perf_counter()
            loaded.predict(embedding, prompt)
            yield "click", elapsed_ms(start)

    @functools.cached_property
    def _reference(self) -> list[Result]:
        return self._masks(self.load(Choice(REFERENCE, self._bundle.exact[0], None, "reference")))

    def _masks(self, predictor: Predictor) -> list[Result]:
        return [
            result
            for photograph in self._photographs
            for result in predictor.predict(predictor.encode(photograph), list(_points(photograph)), multimask=False)
        ]


def _points(photograph: NDArray[np.uint8]) -> Iterator[Prompt]:
    height, width = photograph.shape[:2]
    for y in _GRID:
        for x in _GRID:
            yield Prompt(points=[(x * width, y * height)])
