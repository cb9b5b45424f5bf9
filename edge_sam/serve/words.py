"""Words to masks on a server: a queue of its own for the matcher, the one of clicks for the masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from starlette.requests import Request

from edge_sam.errors import InputError
from edge_sam.everything.records import MaskRecord
from edge_sam.imaging.masks import decode_rle
from edge_sam.result import Result
from edge_sam.serve.errors import HttpError
from edge_sam.serve.images import ServedImage
from edge_sam.serve.messages import LONGEST_TEXT, TextLabel
from edge_sam.serve.segmenter import Segmenter
from edge_sam.system.timing import stage
from edge_sam.text import TextSegmenter
from edge_sam.text.result import WordPrompt
from edge_sam.text.segmenter import recorded_result
from edge_sam.text.tokens import check_phrases

_T = TypeVar("_T")


@dataclass(frozen=True)
class FoundWords(Generic[_T]):
    """What words found in a photograph.

    Attributes
    ----------
    masks : list of (WordPrompt, object)
        The place that words describe, and what was made of its mask. Best score first.
    absent : list of str
        The texts that nothing fits.
    threshold : float
        Least score of a mask.
    timings : dict of str to float
        Milliseconds by stage, all masks together.
    """

    masks: list[tuple[WordPrompt, _T]]
    absent: list[str]
    threshold: float
    timings: dict[str, float]


def check_texts(segmenter: Segmenter, texts: Sequence[str]) -> tuple[TextSegmenter, list[str]]:
    """Return what finds words, and the texts of a request, each with single spaces.

    Raises
    ------
    HttpError
        The server has no matcher (422), or there are too many texts (413).
    InputError
        A text is empty or too long.
    """
    if segmenter.text is None:
        raise HttpError(
            422,
            "no_matcher",
            "this server reads no text; start it with a model that does: edge-sam serve --matcher FOLDER",
        )
    most = segmenter.settings.max_texts
    if len(texts) > most:
        raise HttpError(413, "too_many_texts", f"{len(texts)} texts in one request; send at most {most}")
    if any(len(text) > LONGEST_TEXT for text in texts):
        raise InputError(f"a text is longer than {LONGEST_TEXT} characters; say it in fewer words")
    return segmenter.text, check_phrases(texts)


async def find_words(
    segmenter: Segmenter,
    image: ServedImage,
    texts: Sequence[str],
    convert: Callable[[Result], _T],
    *,
    most: int | None = None,
    request: Request | None = None,
    **changes: Any,
) -> FoundWords[_T]:
    """Segment what words describe.

    The matcher answers in a queue of its own. The boxes of a detector are then answered as clicks are. An image-text
    pair compares the masks of everything mode, 16×16 points in the photograph's embedding, and returns those.

    Parameters
    ----------
    segmenter : Segmenter
    image : ServedImage
    texts : sequence of str
        What to find.
    convert : callable
        Makes of the result with one mask what to keep. It runs in the thread of a queue.
    most : int, optional
        Most masks; at most those of `max_prompts`.
    request : Request, optional
        Work that has not begun is dropped when its client goes away.
    **changes
        Fields of `TextSettings` that the request has. None: as the server was told.

    Returns
    -------
    FoundWords
        Without masks that turned out empty.

    Raises
    ------
    HttpError
        As `check_texts`; a queue is full (429), or the time is over (504).
    InputError
        A text is empty, or a setting is impossible.
    """
    text, phrases = check_texts(segmenter, texts)
    given = {name: value for name, value in changes.items() if value is not None}
    text = TextSegmenter(segmenter.predictor, text.matcher, text.settings, **given)
    geometry, timings = image.embedding.geometry, dict[str, float]()

    def find() -> list[WordPrompt]:
        with stage(timings, "read"):
            pixels = segmenter.pixels(image.photograph)
        with stage(timings, "match"):
            return text.find(
                pixels,
                phrases,
                embedding=image.embedding,
                long_side=geometry.long_side,
                square=geometry.square,
            )

    def draw(each: WordPrompt) -> _T | None:
        assert each.record is not None
        with stage(timings, "format"):
            return _unless_empty(convert, recorded_result(each.record, segmenter.predictor.provider))

    with segmenter.matches.admit(request) as place:
        found = await place.run(find)
        chosen = found[: min(most or len(found), segmenter.settings.max_prompts)]
        drawn = [await place.run(partial(draw, each)) for each in chosen] if text.compares else []
    segmenter.metrics.observe(timings)
    if chosen and not text.compares:
        prompts = [each.prompt for each in chosen]
        drawn, decoded = await segmenter.predict(
            image, prompts, partial(_unless_empty, convert), multimask=False, request=request
        )
        timings |= decoded
    masks = [(each, mask) for each, mask in zip(chosen, drawn, strict=True) if mask is not None]
    seen = {each.word for each, _ in masks} | {each.word for each in found[len(chosen) :]}
    return FoundWords(masks, [phrase for phrase in phrases if phrase not in seen], text.threshold, timings)


async def label_masks(
    segmenter: Segmenter,
    image: ServedImage,
    records: Mapping[int, MaskRecord],
    texts: Sequence[str],
    request: Request | None = None,
) -> list[TextLabel]:
    """Say which of the masks of everything mode a text fits, and which text fits best.

    Errors are those of `find_words`.
    """
    text, phrases = check_texts(segmenter, texts)
    timings: dict[str, float] = {}

    def label() -> list[tuple[str, float] | None]:
        pixels = segmenter.pixels(image.photograph)
        with stage(timings, "match"):
            return text.label(pixels, (decode_rle(each["segmentation"]) for each in records.values()), phrases)

    with segmenter.matches.admit(request) as place:
        labels = await place.run(label)
    segmenter.metrics.observe(timings)
    return [TextLabel(id, *label) for id, label in zip(records, labels, strict=True) if label is not None]


def _unless_empty(convert: Callable[[Result], _T], result: Result) -> _T | None:
    """Convert the one mask of a result. None if it is empty."""
    return convert(result) if result.masks.any() else None
