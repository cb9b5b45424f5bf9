"""Grounding DINO as Hugging Face's exporters write it, and as those of IDEA's own code do.

Shilong Liu et al., "Grounding DINO", arXiv 2303.05499. All phrases go into one text, each ended by a full stop. The
logits say for each box and each token of the text whether the box is meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_sam.text.graphs import Graph
from edge_sam.text.matcher import MatcherFacts, WordBoxes
from edge_sam.text.matcher_files import MatcherLayout, Parts, SideFiles, corners, graph_with, sigmoid
from edge_sam.text.pixels import IMAGENET, PixelFormat
from edge_sam.text.tokens import KEPT, PhraseTokenizer

_LENGTH = 256
"""Most tokens of a text, as the models were trained."""
_SHORTEST, _LONGEST = 800, 1333
"""Pixels of the picture's sides if no file says them."""
_IDEA_INPUTS = {"img", "input_ids", "attention_mask", "position_ids", "token_type_ids", "text_token_mask"}
_HF_INPUTS = {"pixel_values", "pixel_mask", "input_ids", "token_type_ids", "attention_mask"}


@dataclass(frozen=True)
class _Text:
    """A text of several phrases.

    Attributes
    ----------
    ids : ndarray of int64, (L,)
        Its tokens.
    spans : list of (int, slice)
        Number of each phrase, and its tokens.
    """

    ids: NDArray[np.int64]
    spans: list[tuple[int, slice]]


class GroundingDino:
    """Grounding DINO in either layout; see `edge_sam.text.matcher.TextBoxes`.

    The score of a phrase is the mean over its tokens, as in the reference's evaluation: the highest of them would take
    a blue mug for a red one.
    """

    threshold = 0.3

    def __init__(self, parts: Parts, beside: SideFiles, facts: MatcherFacts) -> None:
        self.facts = facts
        self._model, self._graph = parts["model"], parts["model"].graph
        self._image, self._boxes = ("img", "boxes") if "img" in self._graph.inputs else ("pixel_values", "pred_boxes")
        usual = PixelFormat(*IMAGENET, resample=Image.Resampling.BILINEAR) if self._image == "img" else None
        self._pixels = beside.pixels(usual)
        self._length = self._graph.size("input_ids", 1) or _LENGTH
        self._tokens = beside.tokenizer(self._length, "[PAD]")
        self._separators = _Separators(self._tokens)

    def find(self, image: NDArray[np.uint8], phrases: Sequence[str], least: float) -> WordBoxes:
        """See `TextBoxes.find`."""
        height, width = image.shape[:2]
        pixels = self._pixels.tensor(self._pixels.resized(image, self._frame(height, width)))[None]
        parts = []
        for text in self._separators.texts(phrases, self._length):
            outputs = self._model.run(self._inputs(text, pixels))
            tokens, found = sigmoid(outputs["logits"][0]), corners(outputs[self._boxes][0], width, height)
            for number, span in text.spans:
                scores = tokens[:, span].mean(axis=1)
                words = np.full(len(scores), number, np.intp)
                parts.append(WordBoxes(found, scores, words).take(scores >= least))
        return WordBoxes.join(parts)

    def _frame(self, height: int, width: int) -> tuple[int, int]:
        """Return the size of the picture: that of the graph, or the photograph's with sides within the limits.

        Boxes are fractions of the photograph in either case, so it may be stretched.
        """
        fixed = self._graph.size(self._image, -2), self._graph.size(self._image, -1)
        if fixed[0] is not None and fixed[1] is not None:
            return fixed[0], fixed[1]
        shortest = self._pixels.size.get("shortest_edge", _SHORTEST)
        longest = self._pixels.size.get("longest_edge", _LONGEST)
        scale = min(shortest / min(height, width), longest / max(height, width))
        return max(1, round(height * scale)), max(1, round(width * scale))

    def _inputs(self, text: _Text, pixels: NDArray[np.float32]) -> dict[str, NDArray[np.generic]]:
        count = self._graph.size("input_ids", 1) or len(text.ids)
        ids = np.full(count, self._tokens.pad, np.int64)
        ids[: len(text.ids)] = text.ids
        seen = np.arange(count) < len(text.ids)
        inputs: dict[str, NDArray[np.generic]] = {
            self._image: pixels,
            "input_ids": ids[None],
            "token_type_ids": np.zeros((1, count), np.int64),
            "attention_mask": seen[None].astype(np.int64),
            "pixel_mask": np.ones((1, *pixels.shape[2:]), np.int64),
        }
        if self._image == "img":
            inputs |= self._separators.phrase_masks(ids)
        return inputs


class _Separators:
    """The tokens between phrases, and what follows from where they are."""

    def __init__(self, tokens: PhraseTokenizer) -> None:
        self._tokens = tokens
        self._begin, self._end, self._stop = (tokens.id_of(token) for token in ("[CLS]", "[SEP]", "."))
        self._between = [self._begin, self._end, self._stop, tokens.id_of("?")]
        self._row = lru_cache(KEPT)(self._cut)

    def texts(self, phrases: Sequence[str], length: int) -> Iterator[_Text]:
        """Put phrases into as few texts of at most `length` tokens as will hold them."""
        ids, spans = [self._begin], list[tuple[int, slice]]()
        for number, phrase in enumerate(phrases):
            row = self._row(phrase, length - 3)
            if len(ids) + len(row) + 2 > length:
                yield _Text(np.array([*ids, self._end], np.int64), spans)
                ids, spans = [self._begin], []
            if row:
                spans.append((number, slice(len(ids), len(ids) + len(row))))
                ids += [*row, self._stop]
        yield _Text(np.array([*ids, self._end], np.int64), spans)

    def _cut(self, phrase: str, length: int) -> list[int]:
        row = [token for token in self._tokens.ids(phrase.lower()) if token not in self._between]
        if len(row) > length:
            self._tokens.say_cut(phrase, len(row), length)
        return row[:length]

    def phrase_masks(self, ids: NDArray[np.int64]) -> dict[str, NDArray[np.generic]]:
        """Return which tokens see each other, (1, L, L), and their positions, (1, L): both start anew in each phrase.

        A token between phrases closes the phrase before it. The first and the last token of the text, and everything
        after the end, see only themselves.
        """
        count = len(ids)
        mask, positions = np.eye(count, dtype=np.bool_), np.zeros(count, np.int64)
        before = 0
        for place in np.flatnonzero(np.isin(ids, self._between)):
            if 0 < place < count - 1:
                phrase = slice(before + 1, place + 1)
                mask[phrase, phrase] = True
                positions[phrase] = np.arange(place - before)
            before = int(place)
        return {"text_token_mask": mask[None], "position_ids": positions[None]}


def _bind_hf(graphs: Sequence[Graph]) -> dict[str, Graph] | None:
    graph = graph_with(graphs, _HF_INPUTS, {"logits", "pred_boxes"})
    return None if graph is None else {"model": graph}


def _bind_idea(graphs: Sequence[Graph]) -> dict[str, Graph] | None:
    graph = graph_with(graphs, _IDEA_INPUTS, {"logits", "boxes"})
    return None if graph is None else {"model": graph}


HF_GROUNDING_DINO = MatcherLayout("hf-grounding-dino", "Hugging Face (Grounding DINO)", _bind_hf, GroundingDino)
GROUNDING_DINO = MatcherLayout("grounding-dino", "IDEA (Grounding DINO)", _bind_idea, GroundingDino)
