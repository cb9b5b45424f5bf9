"""A model with all settings that affect its masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import InputError
from edge_sam.imaging.view import View
from edge_sam.inference.facts import Facts
from edge_sam.inference.run_options import RunOptions
from edge_sam.loading import load_with
from edge_sam.predictor import Predictor
from edge_sam.preference import Preference
from edge_sam.prompts import Prompt
from edge_sam.result import Result

Wanted = Literal["three", "single", "default"]
"""The masks to return: the three of an ambiguous prompt; token 0's mask, as the reference implementation returns for an
unambiguous prompt; or the segmenter's default mask."""
Ask = Callable[[Prompt, Wanted], Result]
"""Answers a prompt on one photograph."""

_CHANGEABLE = {"runtime": str, "precision": str, "threads": int, "long-side": int, "square": bool, "full-grid": bool}
"""Settings of `Variant.changed`."""


class SegmenterFacts(Facts, frozen=True):
    """What a report says about a segmenter: the model that ran, and how it was shown the photographs."""

    long_side: int
    square: bool
    full_grid: bool = False


@dataclass(frozen=True)
class Variant(RunOptions, View):
    """A bundle and how to run it.

    Attributes
    ----------
    bundle : str
        Name or folder.
    """

    bundle: str

    @property
    def label(self) -> str:
        """Its name in tables, plots and messages about a single bundle."""
        count = f" {self.threads}t" if self.threads else ""
        grid = " full grid" if self.full_grid else ""
        return f"{self.runtime} {self.precision} {self.long_side}{count}{grid}"

    def changed(self, text: str) -> Variant:
        """Return the variant that a text like ``BUNDLE,precision=fp32,long-side=768,square`` describes.

        Settings that the text does not mention stay. An empty bundle means this variant's bundle.

        Raises
        ------
        InputError
            The text has an unknown setting.
        """
        bundle, *settings = text.split(",")
        changes: dict[str, Any] = {"bundle": bundle or self.bundle}
        for setting in settings:
            name, _, value = setting.partition("=")
            field, kind = name.replace("-", "_"), _CHANGEABLE.get(name)
            try:
                if kind is None:
                    raise ValueError(f"known: {', '.join(_CHANGEABLE)}")
                if kind is bool:
                    value = {"": "true", "no": "false"}.get(value, value)
                changes[field] = msgspec.convert(value, kind, strict=False)
            except ValueError as error:
                raise InputError(f"cannot set {setting!r} in {text!r}: {error}") from error
        return replace(self, **changes)

    def open(self) -> BundleSegmenter:
        """Load the bundle; see `edge_sam.load` for what is raised."""
        # Strict: a figure of another runtime than the one named would be worse than none.
        predictor = load_with(self.bundle, replace(self, strict=True))
        return BundleSegmenter(predictor, self.long_side, self.square)


@dataclass(frozen=True)
class BundleSegmenter:
    """A predictor with its long side and the shape of its input."""

    predictor: Predictor
    long_side: int = View.long_side
    square: bool | None = View.square

    @property
    def facts(self) -> SegmenterFacts:
        """What it is."""
        ran = msgspec.structs.asdict(self.predictor.facts)
        long_side, square = self.predictor.bundle.contract.view(self.long_side, self.square)
        full_grid = self.predictor.model.active.choice.full_grid
        return SegmenterFacts(**ran, long_side=long_side, square=square, full_grid=full_grid)

    def encode(self, image: NDArray[np.uint8]) -> Ask:
        """Encode a photograph, (height, width, 3) RGB. Returns a function that answers prompts; see `Ask`.

        A model that takes no mask prompts gets the points and the box of a prompt without its mask.
        """
        embedding = self.predictor.encode(image, long_side=self.long_side, square=self.square)
        masks = self.predictor.bundle.contract.masks

        def ask(prompt: Prompt, wanted: Wanted) -> Result:
            prompt = prompt if masks else Prompt(prompt.points, prompt.labels, prompt.box)
            prefer: Preference = "single" if wanted == "single" else "auto"
            return self.predictor.predict(embedding, prompt, multimask=wanted == "three", prefer=prefer)

        return ask
