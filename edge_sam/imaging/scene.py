"""A synthetic image for benchmarks without a photograph."""

from __future__ import annotations

import cv2
import numpy as np

_SIZE = (720, 1280)
"""(height, width), as of a video camera."""


def scene_jpeg() -> bytes:
    """Draw a ball in front of a textured wall, always the same, and return it as JPEG.

    Times depend on an image's size and hardly on its content. Accuracy must be measured on photographs with
    `edge-sam eval`.
    """
    height, width = _SIZE
    random = np.random.default_rng(0)
    coarse = random.integers(60, 190, (height // 40, width // 40, 3)).astype(np.uint8)
    wall = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    rows, columns = np.mgrid[:height, :width]
    distance = np.hypot(rows - height / 2, columns - width / 2)
    light = np.clip(1.2 - np.hypot(rows - height * 0.4, columns - width * 0.45) / 300, 0.2, 1)
    ball = (light[..., None] * (40, 90, 230)).astype(np.uint8)
    picture = np.where((distance < height * 0.3)[..., None], ball, wall)
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 92])[1])
