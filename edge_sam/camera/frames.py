"""A frame on its way through the stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_sam.tracking import Tracked


@dataclass(frozen=True, eq=False)
class Captured:
    """A frame as the source gave it.

    Attributes
    ----------
    image : ndarray of uint8, (height, width, 3)
        RGB.
    index : int
        How many frames the source gave before this one, dropped ones included.
    name : str
        The file's stem in a folder of frames, else ``frame-`` and the index.
    time : float
        Seconds since 1970 at which the frame came out of the source.
    clock : float
        The same moment on `time.perf_counter`.
    read_ms : float
        Milliseconds that reading took; of a camera that includes waiting for the frame.
    """

    image: NDArray[np.uint8]
    index: int
    name: str
    time: float
    clock: float
    read_ms: float


@dataclass(frozen=True, eq=False)
class StreamFrame:
    """A frame with the objects that were followed into it.

    Attributes
    ----------
    image : ndarray of uint8, (height, width, 3)
        RGB.
    objects : list of Tracked
        One for each prompt, in their order; empty while there is no prompt.
    index, name, time
        As of `Captured`: which frame of the source this is, and when it came.
    encoded : bool
        The image encoder ran on this frame. False: masks were carried by optical flow, or an earlier embedding served.
    long_side : int
        Pixels that the longer side was scaled to.
    latency_ms : float
        From the moment the frame came out of the source until its masks were there.
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
