"""A picture of all masks, coloured over the photograph."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np
from numpy.typing import NDArray

_OPACITY = 0.55
_EDGE = (255, 255, 255)
_LONGEST = 2048
"""Longest side of the picture in pixels. The label map has the photograph's size."""


def draw_labels(image: NDArray[np.uint8], labels: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Colour the labels over the photograph, with white lines between them.

    Parameters
    ----------
    image : ndarray of uint8, (height, width, 3)
        RGB. It is not changed.
    labels : ndarray of uint16, (height, width)
        From `edge_sam.imaging.masks.label_map`.

    Returns
    -------
    ndarray of uint8, (h, w, 3)
        RGB, of the photograph's size, or reduced to a longer side of 2048 pixels.
    """
    scale = _LONGEST / max(labels.shape)
    if scale < 1:
        image = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        size = image.shape[1], image.shape[0]
        labels = np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST), dtype=np.uint16)
    coloured = _palette(int(labels.max()))[labels]
    np.copyto(coloured, image, where=(labels == 0)[..., None])
    canvas = np.asarray(cv2.addWeighted(image, 1 - _OPACITY, coloured, _OPACITY, 0), dtype=np.uint8)
    width = max(1, max(image.shape[:2]) // 600)
    brush = np.ones((2 * width, 2 * width), dtype=np.uint8)
    edges = cv2.morphologyEx(labels, cv2.MORPH_GRADIENT, brush)
    canvas[edges > 0] = _EDGE
    return canvas


def _palette(count: int) -> NDArray[np.uint8]:
    """Return RGB of labels 0 to `count`. The golden ratio keeps the hues of successive labels far apart."""
    colours = [(0.0, 0.0, 0.0)]
    for i in range(count):
        colours.append(colorsys.hsv_to_rgb(i * 0.618034 % 1, 0.75 if i % 2 else 0.95, 1 - 0.15 * (i % 3)))
    return (np.array(colours) * 255).astype(np.uint8)
