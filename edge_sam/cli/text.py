"""Options and reports of text prompts, for the commands that take them."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from cyclopts import Group, Parameter

from edge_sam.errors import InputError
from edge_sam.inference.run_options import RunOptions
from edge_sam.text.settings import TextSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_sam import Predictor, TextResult, TextSegmenter


@dataclass(frozen=True, kw_only=True)
class MatcherOptions(TextSettings):
    """The model that reads text, and how its words become masks.

    Attributes
    ----------
    matcher : list of Path, optional
        The model that reads the text: a folder, or a file. Repeatable: two files may belong together. docs/text.md
        says where to get one.
    matcher_precision : str
        auto (the most exact that the folder has), smallest, fp32, fp16, int8 or int4.
    """

    matcher: list[Path] | None = None
    matcher_precision: str = "auto"

    @property
    def settings(self) -> TextSettings:
        """The settings alone."""
        return TextSettings(**{each.name: getattr(self, each.name) for each in fields(TextSettings)})


@dataclass(frozen=True, kw_only=True)
class TextOptions(MatcherOptions):
    """What to find, and the model that finds it.

    Attributes
    ----------
    text : list of str, optional
        What to find, such as "a red mug". Repeatable.
    """

    text: list[str] | None = None

    def check(self) -> None:
        """Raise `InputError` for text without a model, or the other way round."""
        from edge_sam.text.tokens import check_phrases

        if self.text is not None:
            check_phrases(self.text)
        if self.text and not self.matcher:
            raise InputError("--text needs a second model, which reads text; give --matcher FOLDER (see docs/text.md)")
        if self.matcher and not self.text:
            raise InputError("--matcher reads text, and there is none; give --text 'a red mug'")


WORDS = Parameter(name="*", group=Group("Text", sort_key=0))
"""Makes an option of each field of `TextOptions` or `MatcherOptions`."""


def open_segmenter(predictor: "Predictor", words: MatcherOptions, run: RunOptions) -> "TextSegmenter | None":
    """Load the matcher. None if none is given."""
    if not words.matcher:
        return None
    from edge_sam.text import TextSegmenter
    from edge_sam.text.files import choose_files
    from edge_sam.text.loading import open_matcher

    matcher = open_matcher(choose_files(words.matcher, words.matcher_precision), run)
    return TextSegmenter(predictor, matcher, words.settings)


def describe(
    found: "TextResult", masks: list[dict[str, Any]], words: TextOptions, segmenter: "TextSegmenter"
) -> dict[str, Any]:
    """Put text and score into the entries of masks, and return what the report says of the text."""
    for entry, word, score in zip(masks, found.words, found.scores, strict=True):
        entry |= {"text": word, "predicted_iou": entry["score"], "score": round(float(score), 4)}
    from edge_sam.text.tokens import check_phrases

    asked = check_phrases(words.text)
    return {
        "text": asked,
        "absent": [text for text in asked if text not in found.words],
        "threshold": segmenter.threshold,
        **msgspec.to_builtins(segmenter.matcher.facts),
    }


def label_records(
    segmenter: "TextSegmenter", image: "NDArray[np.uint8]", records: list[dict[str, Any]], words: TextOptions
) -> dict[str, Any]:
    """Put ``text`` and ``text_score`` into the records of everything mode, and return what the report says of them."""
    from edge_sam.imaging.masks import decode_rle
    from edge_sam.text.tokens import check_phrases

    texts = check_phrases(words.text)
    labels = segmenter.label(image, (decode_rle(record["segmentation"]) for record in records), texts)
    for record, label in zip(records, labels, strict=True):
        text, score = (None, None) if label is None else label
        record |= {"text": text, "text_score": score and round(score, 4)}
    facts = msgspec.to_builtins(segmenter.matcher.facts)
    return {"text": texts, "threshold": segmenter.threshold, **facts}
