"""A drawn scene with known objects, on which an unknown model shows whether it sees what it should."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_HEIGHT, _WIDTH = 576, 1024
_NOISE = 3


def scene_with_objects() -> tuple[NDArray[np.uint8], list[NDArray[np.bool_]]]:
    """Draw plain objects in front of a coloured wall, always the same.

    The picture is wider than high, so that a stretched frame differs from a padded one, and no colour is grey, so that
    the order of the channels matters.

    Returns
    -------
    image : ndarray of uint8, (576, 1024, 3)
        RGB.
    objects : list of ndarray of bool, (576, 1024)
        The mask of each object.
    """
    random = np.random.default_rng(0)
    coarse = random.integers(70, 170, (_HEIGHT // 32, _WIDTH // 32, 3)).astype(np.uint8)
    picture = cv2.resize(coarse, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    shapes = [np.zeros((_HEIGHT, _WIDTH), np.uint8) for _ in range(4)]
    cv2.circle(shapes[0], (180, 170), 95, 1, cv2.FILLED)
    cv2.rectangle(shapes[1], (420, 90), (640, 300), 1, cv2.FILLED)
    cv2.fillPoly(shapes[2], [np.array([[850, 80], [960, 330], [740, 330]])], 1)
    cv2.ellipse(shapes[3], (520, 450), (260, 70), 0, 0, 360, 1, cv2.FILLED)
    colours = ((215, 40, 30), (30, 60, 200), (240, 220, 40), (20, 110, 40))
    light = np.linspace(1.1, 0.7, _HEIGHT, dtype=np.float32)[:, None, None]
    objects = [shape.astype(bool) for shape in shapes]
    for mask, colour in zip(objects, colours, strict=True):
        picture[mask] = np.broadcast_to(light * np.array(colour, np.float32), picture.shape)[mask]
    picture += np.asarray(random.normal(0, _NOISE, picture.shape), np.float32)
    return np.rint(picture).clip(0, 255).astype(np.uint8), objects
