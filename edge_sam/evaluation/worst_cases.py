"""Contact sheets of the worst cases."""

from __future__ import annotations

import bisect
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sam.evaluation.metrics import Mask
from edge_sam.evaluation.protocols import Prediction
from edge_sam.evaluation.stills import Case
from edge_sam.overlay import draw_overlay

Rgb = NDArray[np.uint8]
_TILE = (240, 320)
"""(height, width) of one picture on the sheet, in pixels."""
_CAPTION = 22
"""Height of the caption below it, in pixels."""
_COLUMNS = 4
_GAP = 6
_TRUTH = (255, 215, 0)
"""RGB of the ground truth's outline."""
_MARGIN = 0.3
"""Margin around the object, as a fraction of its side."""


class WorstCases:
    """Keeps the tiles of the worst cases so far.

    For one segmenter, the worst cases have the lowest scores. In a comparison, they are those that the first segmenter
    loses by most, and both masks are drawn.

    Parameters
    ----------
    count : int
        Cases to keep.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._kept: list[tuple[float, int, Rgb]] = []
        self._seen = 0

    def look(self, case: Case) -> None:
        """Keep a case if it is among the worst."""
        scores = [prediction.scores[case.protocol.main_score] for prediction in case.predictions]
        value = scores[0] - (scores[1] if len(scores) == 2 else 0.0)
        self._seen += 1
        if len(self._kept) < self._count or (self._kept and value < self._kept[-1][0]):
            bisect.insort(self._kept, (value, self._seen, _tile(case, scores)))
            del self._kept[self._count :]

    def sheet(self) -> Rgb | None:
        """Return the tiles in reading order, the worst first, or None if there are none.

        Yellow outlines show the ground truth, blue shows the mask, green and red dots are clicks on and off the object.
        """
        if not self._kept:
            return None
        tiles = [tile for _, _, tile in self._kept]
        height, width = tiles[0].shape[:2]
        columns = min(len(tiles), max(1, _COLUMNS * _TILE[1] // width))
        rows = math.ceil(len(tiles) / columns)
        sheet = np.full((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3), 255, np.uint8)
        for i, tile in enumerate(tiles):
            y, x = (i // columns) * (height + _GAP), (i % columns) * (width + _GAP)
            sheet[y : y + height, x : x + width] = tile
        return sheet


def _tile(case: Case, scores: list[float]) -> Rgb:
    """Draw one case: a picture for each segmenter side by side, with a caption below."""
    region = case.target.truth.copy()
    for prediction in case.predictions:
        region |= prediction.masks[0]
    window = _window(region)
    pictures = [_draw(case, prediction)[window] for prediction in case.predictions]
    fitted = np.concatenate([_fit(picture) for picture in pictures], axis=1)
    caption = np.full((_CAPTION, fitted.shape[1], 3), 255, np.uint8)
    values = " against ".join(f"{100 * score:.1f}" for score in scores)
    # OpenCV draws only ASCII, and crashes on text that is not UTF-8.
    name = f"{case.row.sample} {case.row.target}".strip().encode("ascii", "replace").decode()
    cv2.putText(caption, f"{values}  {name}", (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([fitted, caption])


def _draw(case: Case, prediction: Prediction) -> Rgb:
    picture = draw_overlay(case.image, prediction.masks[:1], [prediction.prompt])
    contours = cv2.findContours(case.target.truth.view(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]
    cv2.drawContours(picture, contours, -1, _TRUTH, max(1, max(picture.shape) // 400), cv2.LINE_AA)
    return picture


def _window(region: Mask) -> tuple[slice, slice]:
    """Return the rows and columns around the region with a margin, in a tile's shape if the photograph allows it."""
    image_height, image_width = region.shape
    x, y, width, height = cv2.boundingRect(region.view(np.uint8))
    scale = (1 + 2 * _MARGIN) * max(height / _TILE[0], width / _TILE[1])
    rows, columns = (max(side, round(length * scale)) for side, length in zip((height, width), _TILE, strict=True))
    return _around(y + height / 2, rows, image_height), _around(x + width / 2, columns, image_width)


def _around(centre: float, length: int, limit: int) -> slice:
    length = min(length, limit)
    first = min(max(0, round(centre - length / 2)), limit - length)
    return slice(first, first + length)


def _fit(picture: Rgb) -> Rgb:
    """Scale a picture into a tile, keeping its shape. Grey fills the rest."""
    height, width = picture.shape[:2]
    scale = min(_TILE[0] / height, _TILE[1] / width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    resized = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    tile = np.full((*_TILE, 3), 64, np.uint8)
    y, x = (_TILE[0] - resized.shape[0]) // 2, (_TILE[1] - resized.shape[1]) // 2
    tile[y : y + resized.shape[0], x : x + resized.shape[1]] = resized
    return tile
