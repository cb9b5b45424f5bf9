"""Words as the prompts of a data set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from edge_sam.bundles.bundle import file_sha256
from edge_sam.inference.run_options import RunOptions
from edge_sam.predictor import Predictor
from edge_sam.text import TextSegmenter
from edge_sam.text.files import choose_files
from edge_sam.text.loading import find_matcher, open_matcher
from edge_sam.text.settings import TextSettings


class TextJob(msgspec.Struct, frozen=True):
    """What to find in every photograph.

    Attributes
    ----------
    text : tuple of str
        The words; each is a category.
    matcher : tuple of str
        Files and folders of the matcher.
    precision : str
        See `edge_sam.load_matcher`.
    settings : TextSettings
        How words become masks.
    """

    text: tuple[str, ...]
    matcher: tuple[str, ...]
    precision: str
    settings: TextSettings

    @property
    def categories(self) -> dict[str, int]:
        """Ids of the categories by name."""
        return {text: number for number, text in enumerate(self.text, start=1)}

    def facts(self) -> dict[str, Any]:
        """Return everything that affects the prompts, without the folder of the files. `segmenter` comes first."""
        found = find_matcher(self.matcher, self.precision)
        beside = {file.name: file_sha256(file) for file in found.files.beside.candidates()}
        return {"text": self.text, "matcher": found.hashes, "beside": beside, "settings": vars(self.settings)}

    def segmenter(self, predictor: Predictor, run: RunOptions) -> TextSegmenter:
        """Load the matcher in the model's runtime, and in no other: boxes of two runtimes must not be mixed."""
        matcher = open_matcher(choose_files(self.matcher, self.precision), replace(run, strict=True))
        return TextSegmenter(predictor, matcher, self.settings)
