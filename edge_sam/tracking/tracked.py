"""The state of one tracked object in one frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Tracked:
    """One tracked object in one frame.

    Attributes
    ----------
    state : {"held", "carried", "lost"}
        ``held``: decoded from this frame's embedding. ``carried``: moved by optical flow, without the model. ``lost``:
        not found.
    mask : ndarray of bool, (height, width)
        Of the frame's size. All False if the object is lost.
    box : ndarray of float64, (4,), or None
        Tight box, XYXY in pixels; x1 and y1 are one past the last pixel. None if the object is lost.
    score : float
        Confidence, 0 to 1.
    """

    state: Literal["held", "carried", "lost"]
    mask: NDArray[np.bool_]
    box: NDArray[np.float64] | None
    score: float
