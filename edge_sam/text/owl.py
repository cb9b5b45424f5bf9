"""OWLv2 and OWL-ViT as Hugging Face's exporters write them: one graph for words and picture.

Matthias Minderer et al., "Scaling Open-Vocabulary Object Detection", arXiv 2306.09683.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import InputError
from edge_sam.text.graphs import Graph
from edge_sam.text.matcher import MatcherFacts, WordBoxes
from edge_sam.text.matcher_files import MatcherLayout, Parts, SideFiles, corners, graph_with, sigmoid

_LENGTH = 16
"""Tokens of a phrase that the models were trained with."""
_SIDE = 960
"""Side of the picture if neither graph nor file says it."""
_GREY = 127.5


class OwlDetector:
    """OWLv2 and OWL-ViT; see `edge_sam.text.matcher.TextBoxes`.

    OWLv2 sees the photograph in the top left of a grey square, and its boxes are fractions of that square. OWL-ViT sees
    it stretched to a square.
    """

    threshold = 0.2

    def __init__(self, parts: Parts, beside: SideFiles, facts: MatcherFacts) -> None:
        self.facts = facts
        self._model, graph = parts["model"], parts["model"].graph
        self._pixels = beside.pixels()
        side = self._pixels.size.get("height") or self._pixels.size.get("shortest_edge") or _SIDE
        self._size = graph.size("pixel_values", -2) or side, graph.size("pixel_values", -1) or side
        self._tokens = beside.tokenizer(graph.size("input_ids", 1) or _LENGTH, 0)
        self._rows = graph.size("input_ids", 0)

    def find(self, image: NDArray[np.uint8], phrases: Sequence[str], least: float) -> WordBoxes:
        """See `TextBoxes.find`."""
        pixels, (width, height) = self._picture(image)
        ids, mask = self._tokens(phrases)
        scores, boxes = [], np.zeros((0, 4), np.float32)
        step = self._rows or len(phrases)
        for start in range(0, len(phrases), step):
            rows = np.arange(start, start + step).clip(max=len(phrases) - 1)  # A graph of so many rows wants them all.
            outputs = self._model.run({"input_ids": ids[rows], "attention_mask": mask[rows], "pixel_values": pixels})
            scores.append(sigmoid(outputs["logits"][0]))
            boxes = outputs["pred_boxes"][0]
        by_phrase = np.concatenate(scores, axis=1)[:, : len(phrases)]
        tokens, words = np.nonzero(by_phrase >= least)
        return WordBoxes(corners(boxes[tokens], width, height), by_phrase[tokens, words], words)

    def _picture(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], tuple[float, float]]:
        """Return the graph's input, and width and height of its frame in pixels of the photograph."""
        height, width = image.shape[:2]
        rows, columns = self._size
        if not self._pixels.padded:
            return self._pixels.tensor(self._pixels.resized(image, self._size))[None], (width, height)
        longest = max(height, width)
        inner = max(1, round(height * rows / longest)), max(1, round(width * columns / longest))
        frame = np.full((rows, columns, 3), _GREY, np.float32)
        frame[: inner[0], : inner[1]] = self._pixels.resized(image, inner)
        return self._pixels.tensor(frame)[None], (longest, longest)


def _bind(graphs: Sequence[Graph]) -> dict[str, Graph] | None:
    optional = frozenset({"attention_mask"})
    graph = graph_with(graphs, {"input_ids", "pixel_values"}, {"logits", "pred_boxes"}, optional)
    if graph is None:
        return None
    if len(graph.outputs["logits"].shape) != 3:
        raise InputError(f"{graph.path}: logits must have the axes picture, token and phrase, as those of OWLv2 have")
    return {"model": graph}


OWL = MatcherLayout("owl", "Hugging Face (OWLv2, OWL-ViT)", _bind, OwlDetector)
