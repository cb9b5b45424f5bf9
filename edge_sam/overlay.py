"""Overlays: masks in colour over the photograph, with their prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import InputError
from edge_sam.imaging.preprocess import check_image
from edge_sam.prompts import Prompt

_COLOURS = ((30, 144, 255), (255, 140, 0), (50, 205, 50), (218, 70, 239), (255, 215, 0), (64, 224, 208))
"""RGB colours that differ from each other and from most photographs."""
_POSITIVE, _NEGATIVE, _EDGE = (46, 204, 113), (231, 76, 60), (255, 255, 255)
_OPACITY = 0.5
_SHIFT = 4
"""Bits of sub-pixel precision in OpenCV's drawing functions."""


@dataclass(frozen=True)
class _Pen:
    """Draws on a picture with line widths that suit its size."""

    canvas: NDArray[np.uint8]

    @property
    def width(self) -> int:
        height, width = self.canvas.shape[:2]
        return max(1, int(max(height, width)) // 400)

    def outline(self, mask: NDArray[np.bool_], colour: tuple[int, int, int]) -> None:
        contours = cv2.findContours(mask.view(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]
        cv2.drawContours(self.canvas, contours, -1, _EDGE, self.width + 2, cv2.LINE_AA)
        cv2.drawContours(self.canvas, contours, -1, colour, self.width, cv2.LINE_AA)

    def point(self, x: float, y: float, colour: tuple[int, int, int]) -> None:
        centre, radius = _fixed(x, y), 3 * self.width + 1
        for r, c in ((radius + self.width, _EDGE), (radius, colour)):
            cv2.circle(self.canvas, centre, r << _SHIFT, c, cv2.FILLED, cv2.LINE_AA, _SHIFT)

    def box(self, box: NDArray[np.float64], colour: tuple[int, int, int]) -> None:
        height, breadth = self.canvas.shape[:2]
        box = np.clip(box, -10, (breadth + 10, height + 10, breadth + 10, height + 10))
        for width, c in ((self.width + 2, _EDGE), (self.width, colour)):
            cv2.rectangle(self.canvas, _fixed(box[0], box[1]), _fixed(box[2], box[3]), c, width, cv2.LINE_AA, _SHIFT)

    def caption(self, text: str) -> None:
        scale = 0.6 * max(1.0, max(self.canvas.shape) / 800)
        for width, colour in ((4 * self.width + 2, (0, 0, 0)), (2 * self.width, _EDGE)):
            origin = (round(12 * scale), round(30 * scale))
            cv2.putText(self.canvas, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, width, cv2.LINE_AA)


def draw_overlay(
    image: NDArray[np.uint8], masks: NDArray[np.bool_], prompts: Sequence[Prompt] = (), caption: str = ""
) -> NDArray[np.uint8]:
    """Draw masks and prompts over a photograph.

    Parameters
    ----------
    image : ndarray of uint8, (height, width, 3)
        RGB.
    masks : ndarray of bool, (N, height, width)
        Each mask has its own colour.
    prompts : sequence of Prompt
        Points are green on the object and red off it. Boxes have the colour of the mask with the same index.
    caption : str
        ASCII text in the top left corner.

    Returns
    -------
    ndarray of uint8, (height, width, 3)
        RGB. The photograph is not changed.

    Raises
    ------
    InputError
        The image is not 8-bit RGB, or its size differs from the masks' size.
    """
    canvas = check_image(image).copy()
    if masks.shape[1:] != image.shape[:2]:
        raise InputError(f"masks of {masks.shape[1:]} do not fit an image of {image.shape[:2]} (height, width)")
    for i, mask in enumerate(masks):
        colour = np.array(_COLOURS[i % len(_COLOURS)], dtype=np.float32)
        canvas[mask] = (canvas[mask] * (1 - _OPACITY) + colour * _OPACITY).astype(np.uint8)
    pen = _Pen(canvas)
    for i, mask in enumerate(masks):
        pen.outline(mask, _COLOURS[i % len(_COLOURS)])
    for i, prompt in enumerate(prompts):
        if prompt.box is not None:
            pen.box(prompt.box, _COLOURS[i % len(_COLOURS)])
        if prompt.points is not None and prompt.labels is not None:
            for (x, y), label in zip(prompt.points, prompt.labels, strict=True):
                pen.point(x, y, _POSITIVE if label else _NEGATIVE)
    pen.caption(caption)
    return canvas


def _fixed(x: float, y: float) -> tuple[int, int]:
    return round(x * (1 << _SHIFT)), round(y * (1 << _SHIFT))
