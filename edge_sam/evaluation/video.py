"""J&F of DAVIS: how well something follows objects through a video."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_sam import tracking
from edge_sam.errors import InputError
from edge_sam.evaluation.metrics import Mask, boundary_f
from edge_sam.evaluation.protocols import Segmenter, box_prompt, find_protocol
from edge_sam.evaluation.samples import Clip, Target
from edge_sam.evaluation.variant import BundleSegmenter
from edge_sam.imaging.masks import iou

Frame = tuple[NDArray[np.uint8], Sequence[Target]]
Tracker = Callable[[Iterator[Frame]], Iterator[Sequence[Mask]]]
"""Yields for every frame that it is given the masks of the clip's objects, in their order.

An honest tracker looks at the targets of the first frame only.
"""


def box_on_every_frame(segmenter: Segmenter) -> Tracker:
    """Make a tracker that is given each object's true box in each frame: what following by boxes can reach."""
    box = find_protocol("box")

    def follow(frames: Iterator[Frame]) -> Iterator[Sequence[Mask]]:
        for image, targets in frames:
            ask = segmenter.encode(image)
            yield [
                box.run(ask, target).masks[0] if target.truth.any() else np.zeros_like(target.truth)
                for target in targets
            ]

    return follow


def follow_from_first_box(segmenter: Segmenter) -> Tracker:
    """Make the tracker of `edge_sam.tracking`, given each object's true box in the first frame and nothing later.

    Raises
    ------
    InputError
        The segmenter is not a bundle, or encodes the padded square.
    """
    if not isinstance(segmenter, BundleSegmenter) or segmenter.square:
        raise InputError("video-follow needs a bundle without --square; torch's own predictor follows nothing")
    tracker = tracking.Tracker(segmenter.predictor, long_side=segmenter.long_side)

    def follow(frames: Iterator[Frame]) -> Iterator[Sequence[Mask]]:
        image, targets = next(frames)
        tracked = tracker.start(image, [box_prompt(target.truth) for target in targets])
        yield [item.mask for item in tracked]
        for image, _ in frames:
            yield [item.mask for item in tracker.step(image)]

    return follow


@dataclass(frozen=True)
class VideoProtocol:
    """One way of following.

    Attributes
    ----------
    name, description : str
        Its name on the command line, and what it does in one sentence.
    tracker : callable
        Makes the tracker of a segmenter, anew for each clip.
    """

    name: str
    description: str
    tracker: Callable[[Segmenter], Tracker]


VIDEO_PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        VideoProtocol(
            "video-box",
            "J&F over a video with the object's tight box given in every frame: what boxes alone can reach",
            box_on_every_frame,
        ),
        VideoProtocol(
            "video-follow",
            "J&F over a video with the object's tight box given in the first frame only",
            follow_from_first_box,
        ),
    )
}


def measure_clip(tracker: Tracker, clip: Clip, progress: Callable[[], None]) -> list[dict[str, float]]:
    """Score a tracker on one clip.

    J is IoU, F the boundary's F-measure (`boundary_f`), each the mean over all frames but the first, which is given,
    and the last, as the semi-supervised task of DAVIS 2017 has it. Jordi Pont-Tuset et al., "The 2017 DAVIS Challenge
    on Video Object Segmentation", arXiv 1704.00675, section 4.

    Parameters
    ----------
    tracker : Tracker
        What is measured.
    clip : Clip
        The video.
    progress : callable
        Called after each frame.

    Returns
    -------
    list of dict
        For each object of the clip ``j``, ``f`` and ``j&f``, their mean.

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
    for masks in tracker(frames()):
        pairs = list(zip(masks, shown.pop(0), strict=True))
        j.append([iou(mask, target.truth, target.valid) for mask, target in pairs])
        f.append([boundary_f(mask, target.truth, target.valid) for mask, target in pairs])
        progress()
    means = zip(np.mean(j[1:-1], axis=0), np.mean(f[1:-1], axis=0), strict=True)
    return [{"j&f": float(a + b) / 2, "j": float(a), "f": float(b)} for a, b in means]
