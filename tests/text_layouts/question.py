"""What the models are asked, when they are recorded and when they are compared."""

from __future__ import annotations

import numpy as np

PHRASES = ["a red circle", "the large blue square"]
HEIGHT, WIDTH = 60, 90
"""Of the picture: not square, so that a wrong frame of the boxes is seen."""


def picture() -> np.ndarray:
    """The picture that is asked about, smooth enough that filters hardly differ."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] / 20.0
    waves = np.stack([np.sin(x + y), np.cos(x - 0.5 * y), np.sin(0.7 * x * y / 3)], axis=-1)
    return np.rint(127.5 + 100 * waves).astype(np.uint8)
