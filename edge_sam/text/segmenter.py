"""Words to masks: a matcher says where, the predictor draws the masks."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_sam.embedding import ImageEmbedding
from edge_sam.errors import InputError
from edge_sam.everything import MaskGenerator
from edge_sam.everything.records import MaskRecord
from edge_sam.everything.suppression import box_ious
from edge_sam.imaging.images import read_image
from edge_sam.imaging.masks import box_of, decode_rle, most_interior
from edge_sam.imaging.preprocess import check_image
from edge_sam.imaging.region import check_region
from edge_sam.imaging.view import View
from edge_sam.predictor import Predictor
from edge_sam.preference import Preference
from edge_sam.prompts import Prompt
from edge_sam.result import Result
from edge_sam.system.timing import elapsed_ms
from edge_sam.text.choice import choose, inside
from edge_sam.text.crops import RESAMPLE, crop_object
from edge_sam.text.matcher import ImageText, Matcher, TextBoxes, WordBoxes
from edge_sam.text.result import TextResult, WordPrompt
from edge_sam.text.settings import TextSettings
from edge_sam.text.tokens import check_phrases

_POINTS_PER_SIDE = 16
"""Side of the grid of points for masks to compare with words, if no generator is given."""
_FITS = 0.6
"""IoU of a detector's box and that of a mask from which the box's text labels the mask."""


class TextSegmenter:
    """Segments what words describe.

    With a detector (`TextBoxes`), the predictor answers the boxes that it finds. With an image-text pair
    (`ImageText`), all masks of the photograph are compared with the words.

    Parameters
    ----------
    predictor : Predictor
        The model for masks.
    matcher : TextBoxes or ImageText
        The model for words, from `load_matcher`, or your own with the same methods.
    settings : TextSettings, optional
        How words become masks.
    generator : MaskGenerator, optional
        How an image-text pair gets its masks. Default: everything mode with 16×16 points.
    **changes
        Fields of `TextSettings` to change.

    Attributes
    ----------
    predictor, matcher, settings
        As above.

    Raises
    ------
    InputError
        The matcher is something else, or a setting is impossible.
    """

    def __init__(
        self,
        predictor: Predictor,
        matcher: Matcher,
        settings: TextSettings | None = None,
        *,
        generator: MaskGenerator | None = None,
        **changes: Any,
    ) -> None:
        if not isinstance(matcher, TextBoxes | ImageText):
            raise InputError(
                f"text needs a matcher, not {type(matcher).__name__}: edge_sam.load_matcher(FOLDER) loads one;"
                " docs/text.md says where to get one"
            )
        if not isinstance(predictor, Predictor):
            raise InputError(f"expected an edge_sam.Predictor, got {type(predictor).__name__}")
        self.predictor, self.matcher = predictor, matcher
        self.settings = replace(settings or TextSettings(), **changes)
        self._generator = generator

    @property
    def threshold(self) -> float:
        """Least score of a mask."""
        given = self.settings.threshold
        return self.matcher.threshold if given is None else given

    @property
    def compares(self) -> bool:
        """Whether the matcher compares masks with words, as an image-text pair does."""
        return isinstance(self.matcher, ImageText)

    def segment(
        self,
        image: NDArray[np.uint8] | str | Path,
        text: str | Sequence[str],
        *,
        embedding: ImageEmbedding | None = None,
        valid_mask: ArrayLike | None = None,
        prefer: Preference = "auto",
        long_side: int = View.long_side,
        square: bool | None = View.square,
    ) -> TextResult:
        """Segment every object that the words describe.

        Parameters
        ----------
        image : ndarray of uint8, (height, width, 3), or str or Path
            RGB, or a file.
        text : str or sequence of str
            What to find: ``"a red mug"``, or several texts, each of its own.
        embedding : ImageEmbedding, optional
            The photograph's embedding, if it has been encoded before. An image-text pair does not use it.
        valid_mask
            See `Predictor.predict`.
        prefer
            See `Predictor.predict`. For an image-text pair the masks are those of the generator.
        long_side, square
            See `Predictor.encode`. They change a detector's masks and those of the default generator; a generator that
            was given has its own.

        Returns
        -------
        TextResult
            Empty if nothing fits the words.

        Raises
        ------
        InputError
            A text is empty, or see `Predictor.encode` and `Predictor.predict`.
        """
        pixels, phrases = _inputs(image, text)
        start = time.perf_counter()
        found = self.find(pixels, phrases, valid_mask=valid_mask, long_side=long_side, square=square)
        match_ms = elapsed_ms(start)
        if not found:
            return TextResult.of([], [], pixels.shape[:2], match_ms)
        if self.compares:
            provider = self.predictor.facts.provider
            results = [recorded_result(each.record, provider) for each in found if each.record is not None]
            return TextResult.of(found, results, pixels.shape[:2], match_ms)
        if embedding is None:
            embedding = self.predictor.encode(pixels, long_side=long_side, square=square)
        results = self.predictor.predict(
            embedding, [each.prompt for each in found], multimask=False, valid_mask=valid_mask, prefer=prefer
        )
        kept = [i for i, result in enumerate(results) if result.masks.any()]
        return TextResult.of([found[i] for i in kept], [results[i] for i in kept], pixels.shape[:2], match_ms)

    def find(
        self,
        image: NDArray[np.uint8] | str | Path,
        text: str | Sequence[str],
        *,
        embedding: ImageEmbedding | None = None,
        valid_mask: ArrayLike | None = None,
        long_side: int = View.long_side,
        square: bool | None = View.square,
    ) -> list[WordPrompt]:
        """Return a prompt for every object that the words describe, best score first.

        Parameters and errors are those of `segment`, but for `embedding`: the default generator of an image-text pair
        searches in it. It must have been made with `long_side` and `square`.
        """
        pixels, phrases = _inputs(image, text)
        if isinstance(self.matcher, TextBoxes):
            found = self._boxes(self.matcher, pixels, phrases, valid_mask)
        else:
            if self._generator is not None:
                records = self._generator.generate(pixels, valid_mask=valid_mask)
            else:
                generator = MaskGenerator(
                    self.predictor,
                    points_per_side=_POINTS_PER_SIDE,
                    output_mode="coco_rle",
                    long_side=long_side,
                    square=MaskGenerator.square if square is None else square,
                )
                records = generator.generate(pixels, valid_mask=valid_mask, embedding=embedding)
            found = self._compared(self.matcher, pixels, phrases, records)
        return sorted(found, key=lambda each: -each.score)

    def label(
        self, image: NDArray[np.uint8] | str | Path, masks: Iterable[NDArray[np.bool_]], text: str | Sequence[str]
    ) -> list[tuple[str, float] | None]:
        """Say which of the words fits each mask best.

        Parameters
        ----------
        image, text
            See `segment`.
        masks : iterable of ndarray of bool, (height, width)
            Such as those of everything mode. They are taken one by one, and none may be empty.

        Returns
        -------
        list of (str, float) or None
            Text and score for each mask. None: none of the words fits.
        """
        pixels, phrases = _inputs(image, text)
        if isinstance(self.matcher, ImageText):
            scores = self._shares(self.matcher, pixels, masks, phrases)
        else:
            scores = self._overlaps(self._boxes(self.matcher, pixels, phrases), masks, phrases)
        best = scores.argmax(axis=1)
        return [
            (phrases[word], float(row[word])) if row[word] >= self.threshold else None
            for row, word in zip(scores, best, strict=True)
        ]

    def _boxes(
        self,
        matcher: TextBoxes,
        image: NDArray[np.uint8],
        phrases: Sequence[str],
        valid_mask: ArrayLike | None = None,
    ) -> list[WordPrompt]:
        region = check_region(valid_mask, (image.shape[0], image.shape[1]))
        found = inside(matcher.find(image, self._sentences(phrases), self.threshold), image.shape[:2], region)
        return [
            WordPrompt(Prompt(box=found.boxes[i]), phrases[found.words[i]], float(found.scores[i]))
            for i in choose(found, self.settings)
        ]

    def _compared(
        self, matcher: ImageText, image: NDArray[np.uint8], phrases: Sequence[str], records: Sequence[MaskRecord]
    ) -> list[WordPrompt]:
        """Compare all masks of the photograph with the words. Masks are large: each is decoded when it is used."""
        scores = self._shares(matcher, image, (_decoded(record["segmentation"]) for record in records), phrases)
        boxes = np.array([record["bbox"] for record in records], np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        masks, words = np.nonzero(scores >= self.threshold)
        found = WordBoxes(boxes[masks], scores[masks, words], words)
        return [
            WordPrompt(
                Prompt(points=[most_interior(_decoded(records[masks[i]]["segmentation"]))], box=found.boxes[i]),
                phrases[words[i]],
                float(found.scores[i]),
                records[masks[i]],
            )
            for i in choose(found, self.settings)
        ]

    def _shares(
        self, matcher: ImageText, image: NDArray[np.uint8], masks: Iterable[NDArray[np.bool_]], phrases: Sequence[str]
    ) -> NDArray[np.float32]:
        """Return how likely each phrase is for each mask, (masks, phrases): its share against the background's."""
        texts = [*self._sentences(phrases), *self._sentences(self.settings.background)]
        resample = getattr(matcher, "resample", RESAMPLE)
        crops = (crop_object(image, mask, matcher.side, resample) for mask in masks)
        logits = matcher.similarity(crops, texts)
        words, behind = logits[:, : len(phrases)], logits[:, len(phrases) :]
        highest = np.maximum(words, behind.max(axis=1, keepdims=True))
        others = np.exp(behind[:, None, :] - highest[:, :, None]).sum(axis=2)
        own = np.exp(words - highest)
        shares: NDArray[np.float32] = own / (own + others)
        return shares

    def _overlaps(
        self, found: Sequence[WordPrompt], masks: Iterable[NDArray[np.bool_]], phrases: Sequence[str]
    ) -> NDArray[np.float32]:
        """Return the score of the box that fits each mask, (masks, phrases)."""
        tight = np.array([np.zeros(4) if (box := box_of(mask)) is None else box for mask in masks]).reshape(-1, 4)
        scores = np.zeros((len(tight), len(phrases)), np.float32)
        for each in found:
            assert each.prompt.box is not None
            fits = box_ious(tight, each.prompt.box) >= _FITS
            column = phrases.index(each.word)
            scores[fits, column] = np.maximum(scores[fits, column], each.score)
        return scores

    def _sentences(self, phrases: Sequence[str]) -> list[str]:
        return [self.settings.template.replace("{}", phrase) for phrase in phrases]


def _inputs(image: NDArray[np.uint8] | str | Path, text: object) -> tuple[NDArray[np.uint8], list[str]]:
    phrases = check_phrases(text)  # First: it takes no time.
    return check_image(read_image(image) if isinstance(image, str | Path) else image), phrases


def recorded_result(record: MaskRecord, provider: str) -> Result:
    """Return the result of a mask of everything mode, which has no low-res logits."""
    scores = np.array([record["predicted_iou"]], np.float32)
    return Result(_decoded(record["segmentation"])[None], scores, np.zeros((1, 0, 0), np.float32), provider)


def _decoded(segmentation: Any) -> NDArray[np.bool_]:
    """Return the mask of a record, in whichever form the generator gives it."""
    return segmentation if isinstance(segmentation, np.ndarray) else decode_rle(segmentation)
