"""A frame before and after tracking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_sam.tracking import Tracked


@dataclass(frozen=True, eq=False)
class Captured:
    """A frame as read from the source.

    Attributes
    ----------
    image : ndarray of uint8, (height, width, 3)
        RGB.
    index : int
        Number of frames that the source gave before this one, including dropped frames.
    name : str
        The file's stem for a folder of frames, else ``frame-`` and the index.
    time : float
        When the frame was read, in seconds since 1970.
    clock : float
        The same moment on `time.perf_counter`.
    read_ms : float
        Milliseconds that reading took. For a camera this includes the wait for the frame.
    """

    image: NDArray[np.uint8]
    index: int
    name: str
    time: float
    clock: float
    read_ms: float


@dataclass(frozen=True, eq=False)
class StreamFrame:
    """A frame with its tracked objects.

    Attributes
    ----------
    image : ndarray of uint8, (height, width, 3)
        RGB.
    objects : list of Tracked
        One for each prompt, in the order of the prompts. Empty while there is no prompt.
    index, name, time
        See `Captured`.
    encoded : bool
        True if the image encoder ran on this frame. False if optical flow carried the masks, or if the frame hardly
        differs from the last encoded one.
    long_side : int
        Pixels of the longer side after scaling.
    latency_ms : float
        Milliseconds from reading the frame until its masks were ready.
    timings : mapping of str to float
        Milliseconds by stage.
    """

    image: NDArray[np.uint8]
    objects: list[Tracked]
    index: int
    name: str
    time: float
    encoded: bool
    long_side: int
    latency_ms: float
    timings: Mapping[str, float]
