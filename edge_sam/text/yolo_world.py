"""YOLO-World as osam publishes it: a detector that takes the embeddings of CLIP's text model.

Tianheng Cheng et al., "YOLO-World", arXiv 2401.17270.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_sam.errors import InputError
from edge_sam.text.clip import PhraseEmbeddings, text_graph
from edge_sam.text.graphs import Graph
from edge_sam.text.matcher import MatcherFacts, WordBoxes
from edge_sam.text.matcher_files import MatcherLayout, Parts, SideFiles, graph_with
from edge_sam.text.pixels import PixelFormat

_SIDE = 640
_GREY = 114
_NOTHING = " "
"""The last phrase of every call, which takes what is none of the others."""


class YoloWorld:
    """YOLO-World; see `edge_sam.text.matcher.TextBoxes`. It sees the photograph in the middle of a grey square."""

    threshold = 0.1

    def __init__(self, parts: Parts, beside: SideFiles, facts: MatcherFacts) -> None:
        self.facts = facts
        self._model, graph = parts["model"], parts["model"].graph
        self._pixels = PixelFormat((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), resample=Image.Resampling.BILINEAR)
        self._side = graph.size("images", -1) or _SIDE
        self._count = graph.size("text_features", 1)
        self._embed = PhraseEmbeddings(parts["text"], beside)
        wanted = graph.size("text_features", 2)
        if wanted is not None and wanted != self._embed.size:
            raise InputError(
                f"{parts['text'].graph.path.name} gives text embeddings of {self._embed.size} numbers, but"
                f" {graph.path.name} takes {wanted}; give the text model that belongs to it"
            )

    def find(self, image: NDArray[np.uint8], phrases: Sequence[str], least: float) -> WordBoxes:
        """See `TextBoxes.find`."""
        pixels, scale, corner = self._picture(image)
        step = len(phrases) if self._count is None else self._count - 1
        parts = []
        for start in range(0, len(phrases), step):
            asked = list(phrases[start : start + step])
            filled = [*asked, *[_NOTHING] * (1 if self._count is None else self._count - len(asked))]
            outputs = self._model.run({"images": pixels, "text_features": self._embed(filled)[None]})
            found = outputs["scores"][0][:, : len(asked)]
            places, which = np.nonzero(found >= least)
            boxes = (outputs["boxes"][0][places] - np.tile(corner, 2)) / scale
            parts.append(WordBoxes(boxes, found[places, which], which + start))
        return WordBoxes.join(parts)

    def _picture(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], float, NDArray[np.float64]]:
        """Return the graph's input, its scale, and the XY of the photograph's corner in it."""
        height, width = image.shape[:2]
        scale = self._side / max(height, width)
        rows, columns = max(1, int(height * scale)), max(1, int(width * scale))
        top, left = (self._side - rows) // 2, (self._side - columns) // 2
        frame = np.full((self._side, self._side, 3), _GREY, np.uint8)
        frame[top : top + rows, left : left + columns] = self._pixels.resized(image, (rows, columns))
        return self._pixels.tensor(frame)[None], scale, np.array([left, top], np.float64)


def _bind(graphs: Sequence[Graph]) -> dict[str, Graph] | None:
    model = graph_with(graphs, {"images", "text_features"}, {"scores", "boxes"})
    if model is None:
        return None
    text = text_graph([graph for graph in graphs if graph is not model])
    if text is None:
        raise InputError(f"{model.path.name} is YOLO-World; give CLIP's text model with it (ViT-B/32, textual)")
    return {"model": model, "text": text}


YOLO_WORLD = MatcherLayout("yolo-world", "osam (YOLO-World)", _bind, YoloWorld)
