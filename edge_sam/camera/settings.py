"""The settings of a stream."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from edge_sam.imaging.view import LongSide
from edge_sam.settings import Settings


@dataclass(frozen=True, kw_only=True)
class StreamSettings(Settings):
    """How a stream is read and segmented.

    Attributes
    ----------
    long_side : int, optional
        Pixels that the longer side is scaled to. Default: 512, or with a deadline the largest size that meets it.
    budget_ms : float, optional
        Deadline: milliseconds that segmenting one frame may take.
    fps : float, optional
        Deadline: frames a second to reach on average. Where the model is too slow for every frame, optical flow carries
        the masks in between.
    every_frame : bool
        Segment all frames of a file or folder, in order, at the speed of the slowest stage.
    source_fps : float, optional
        Frames a second to play a file or folder at. Default: its own rate; 30 for a folder.
    timeout : float
        Seconds without an answer after which an address counts as lost.
    patience : float
        Seconds for which a lost camera or address is tried again.
    pipeline : bool
        The source is a GStreamer pipeline: elements separated by exclamation marks.
    """

    long_side: LongSide | None = None
    budget_ms: Annotated[float, Meta(gt=0)] | None = None
    fps: Annotated[float, Meta(gt=0)] | None = None
    every_frame: bool = False
    source_fps: Annotated[float, Meta(gt=0)] | None = None
    timeout: Annotated[float, Meta(gt=0)] = 5.0
    patience: Annotated[float, Meta(gt=0)] = 60.0
    pipeline: bool = False
