"""J&F of DAVIS: the score of tracking through a video."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import InputError
from edge_sam.evaluation.metrics import Mask, boundary_f
from edge_sam.evaluation.protocols import Segmenter, box_prompt, find_protocol
from edge_sam.evaluation.samples import Clip, Target
from edge_sam.evaluation.variant import BundleSegmenter
from edge_sam.imaging.masks import iou
from edge_sam.tracking import Tracker

Frame = tuple[NDArray[np.uint8], Sequence[Target]]
VideoSegmenter = Callable[[Iterator[Frame]], Iterator[Sequence[Mask]]]
"""Yields the masks of the clip's objects for each frame, in their order.

A fair tracker reads the targets of the first frame only.
"""


def box_on_every_frame(segmenter: Segmenter) -> VideoSegmenter:
    """Prompt with each object's true box in each frame: the upper bound of tracking by boxes."""
    box = find_protocol("box")

    def segment(frames: Iterator[Frame]) -> Iterator[Sequence[Mask]]:
        for image, targets in frames:
            ask = segmenter.encode(image)
            yield [
                box.run(ask, target).masks[0] if target.truth.any() else np.zeros_like(target.truth)
                for target in targets
            ]

    return segment


def box_on_first_frame(segmenter: Segmenter) -> VideoSegmenter:
    """Track with `edge_sam.tracking.Tracker` from each object's true box in the first frame.

    Raises
    ------
    InputError
        The segmenter is not a bundle, or encodes photographs in another shape than the tracker.
    """
    if not isinstance(segmenter, BundleSegmenter):
        raise InputError("video-track needs a bundle; torch's own predictor cannot track")
    if segmenter.square is not None and segmenter.square != segmenter.predictor.bundle.contract.square:
        raise InputError("video-track encodes frames as suits the model; give neither --square nor --no-square")
    tracker = Tracker(segmenter.predictor, long_side=segmenter.long_side)

    def segment(frames: Iterator[Frame]) -> Iterator[Sequence[Mask]]:
        image, targets = next(frames)
        tracked = tracker.start(image, [box_prompt(target.truth) for target in targets])
        yield [item.mask for item in tracked]
        for image, _ in frames:
            yield [item.mask for item in tracker.step(image)]

    return segment


@dataclass(frozen=True)
class VideoProtocol:
    """A protocol on videos.

    Attributes
    ----------
    name, description : str
        See `edge_sam.evaluation.protocols.SinglePrompt`.
    make : callable
        Turns a segmenter into a `VideoSegmenter` for one clip.
    """

    name: str
    description: str
    make: Callable[[Segmenter], VideoSegmenter]


VIDEO_PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        VideoProtocol(
            "video-box",
            "J&F over a video with the object's tight box in every frame: the upper bound of tracking by boxes",
            box_on_every_frame,
        ),
        VideoProtocol(
            "video-track",
            "J&F over a video with the object's tight box in the first frame only",
            box_on_first_frame,
        ),
    )
}


def measure_clip(segment: VideoSegmenter, clip: Clip, progress: Callable[[], None]) -> list[dict[str, float]]:
    """Score a video segmenter on one clip.

    J is IoU, F is the boundary's F-measure (`boundary_f`). Each is the mean over all frames but the first and the last,
    as in the semi-supervised task of DAVIS 2017. Jordi Pont-Tuset et al., "The 2017 DAVIS Challenge
    on Video Object Segmentation", arXiv 1704.00675, section 4.

    Parameters
    ----------
    segment : VideoSegmenter
    clip : Clip
    progress : callable
        Called after each frame.

    Returns
    -------
    list of dict
        ``j``, ``f`` and ``j&f``, their mean, for each object of the clip.

    Raises
    ------
    InputError
        A frame or mask cannot be used, or the clip has fewer than three frames.
    """
    if len(clip.frames) < 3:
        raise InputError(f"video {clip.name} has {len(clip.frames)} frames; J&F needs at least 3")
    shown: list[Sequence[Target]] = []

    def frames() -> Iterator[Frame]:
        for sample in clip.frames:
            image, targets = sample.load()
            shown.append(targets)
            yield image, targets

    j: list[list[float]] = []
    f: list[list[float]] = []
    for masks in segment(frames()):
        pairs = list(zip(masks, shown.pop(0), strict=True))
        j.append([iou(mask, target.truth, target.valid) for mask, target in pairs])
        f.append([boundary_f(mask, target.truth, target.valid) for mask, target in pairs])
        progress()
    means = zip(np.mean(j[1:-1], axis=0), np.mean(f[1:-1], axis=0), strict=True)
    return [{"j&f": float(a + b) / 2, "j": float(a), "f": float(b)} for a, b in means]
