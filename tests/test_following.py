"""Following objects through clips made from the shipped photographs."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from conftest import iou

from edge_sam import InputError, Predictor, Prompt
from edge_sam.following import Follower

CUP = (76, 18, 478, 390)


def shifted(image: np.ndarray, x: float, y: float, zoom: float = 1.0) -> np.ndarray:
    """Move a picture by (x, y) pixels, enlarged about its corner; the gap mirrors what is beside it."""
    matrix = np.array([[zoom, 0, x], [0, zoom, y]])
    return cv2.warpAffine(image, matrix, image.shape[1::-1], borderMode=cv2.BORDER_REFLECT)


def test_a_moving_cup_is_held(predictor: Predictor, coffee: np.ndarray) -> None:
    follower = Follower(predictor, long_side=512)
    (first,) = follower.start(coffee, [Prompt(box=CUP)])
    for step in range(1, 5):
        x, y = 12.0 * step, -6.0 * step
        (tracked,) = follower.step(shifted(coffee, x, y))
        assert tracked.state == "held"
        assert iou(tracked.mask, shifted(first.mask.view(np.uint8), x, y).astype(bool)) > 0.85


def test_step_needs_start(predictor: Predictor, coffee: np.ndarray) -> None:
    with pytest.raises(InputError, match="call start"):
        Follower(predictor).step(coffee)
