"""Masks as the user gets them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sam.imaging.geometry import Geometry
from edge_sam.imaging.masks import Rle, box_of, encode_rle
from edge_sam.overlay import draw_overlay
from edge_sam.preference import AMBIGUOUS, Preference, choose
from edge_sam.prompts import Prompt
from edge_sam.system.timing import elapsed_ms

_OUTSIDE = np.float32(-32)
"""Logit of what a region of interest forbids: background beyond doubt (0 is the threshold)."""


class Answer(NamedTuple):
    """What the decoder says to one prompt."""

    logits: NDArray[np.float32]
    """Low-res logits, (4, 256, 256): the single mask, then the three of an ambiguous prompt."""
    scores: NDArray[np.float32]
    """Predicted IoU of each, (4,)."""
    provider: str
    """The provider that ran."""
    decode_ms: float
    """Milliseconds of the call; prompts that shared it share the figure."""

    def choose(self, geometry: Geometry, prompt: Prompt, prefer: Preference) -> int:
        """Return the index of the mask that a preference takes; see `edge_sam.preference.choose`."""
        rows, columns = geometry.cell_size
        return choose(self.logits[:, :rows, :columns], self.scores, prefer, prompt)


@dataclass(frozen=True, eq=False)
class Result:
    """The answer to one prompt: N masks, best first.

    Attributes
    ----------
    masks : ndarray of bool, (N, height, width)
        Masks at the photograph's size.
    scores : ndarray of float32, (N,)
        IoU with the true mask as the model predicts it.
    logits : ndarray of float32, (N, 256, 256)
        Low-res logits, each fit to be fed back as `Prompt.mask`.
    provider : str
        The provider that ran the decoder.
    timings : mapping of str to float
        Milliseconds by stage: ``decode`` (prompt encoder and mask decoder; prompts given together share one
        figure) and ``upsample``.
    preferred : mapping of str to int
        Of three masks: the index of the one that each preference takes (``object``, ``best``, ``part``). Of one mask:
        nothing.
    """

    masks: NDArray[np.bool_]
    scores: NDArray[np.float32]
    logits: NDArray[np.float32]
    provider: str = ""
    timings: Mapping[str, float] = field(default_factory=dict)
    preferred: Mapping[str, int] = field(default_factory=dict)

    @property
    def boxes(self) -> NDArray[np.float32]:
        """Tight boxes around the masks.

        Returns
        -------
        ndarray of float32, (N, 4)
            XYXY in pixels; x1 and y1 are one past the last pixel, so ``x1 - x0`` is the width. Zeros where a
            mask is empty.
        """
        boxes = [box_of(mask) for mask in self.masks]
        return np.array([np.zeros(4) if box is None else box for box in boxes], np.float32).reshape(-1, 4)

    def to_rle(self) -> list[Rle]:
        """Encode the masks as compressed COCO RLE.

        Returns
        -------
        list of dict
            For each mask ``{"size": [height, width], "counts": str}``, as `pycocotools` and COCO JSON have it.
        """
        return [encode_rle(mask) for mask in self.masks]

    def overlay(self, image: NDArray[np.uint8], prompts: Sequence[Prompt] = ()) -> NDArray[np.uint8]:
        """Draw the masks, each in a colour of its own, and the prompts over the photograph.

        Parameters
        ----------
        image : ndarray of uint8, (height, width, 3)
            RGB; it is left as it is.
        prompts : sequence of Prompt
            Points on the object are drawn green, off it red; boxes in the colour of the mask with their index.

        Returns
        -------
        ndarray of uint8, (height, width, 3)
            RGB.

        Raises
        ------
        InputError
            The image is not RGB of 8 bits, or of another size than the masks.
        """
        return draw_overlay(image, self.masks, prompts)

    def to_polygons(self) -> list[list[NDArray[np.int32]]]:
        """Trace the outlines of the masks.

        Returns
        -------
        list of list of ndarray of int32, (K, 2)
            For each mask its outer outlines, each K corners XY at pixel centres; filling one (`cv2.fillPoly`)
            gives back its pixels. K is at least 3, which readers of COCO expect: where an outline has one or two
            corners, as around a single pixel, the last corner is repeated. Holes are not traced: use `to_rle` where
            they matter.
        """
        polygons = []
        for mask in self.masks:
            found = cv2.findContours(mask.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
            corners = [contour.reshape(-1, 2).astype(np.int32) for contour in found[0]]
            polygons.append([np.pad(xy, ((0, max(0, 3 - len(xy))), (0, 0)), mode="edge") for xy in corners])
        return polygons


def to_result(
    answer: Answer,
    prompt: Prompt,
    geometry: Geometry,
    region: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None,
    *,
    multimask: bool,
    prefer: Preference,
) -> Result:
    """Make of an answer what the user gets.

    Parameters
    ----------
    answer : Answer
        From the decoder.
    prompt : Prompt
        What it answers.
    geometry : Geometry
        How the photograph lies in the frame.
    region : tuple of ndarray of bool, (height, width) and (256, 256), or None
        Where masks may be: in the photograph, and in the grid of low-res logits.
    multimask : bool
        The three masks, best first; else the one that `prefer` takes.
    prefer : Preference
        Which one.
    """
    start = time.perf_counter()
    if multimask:
        order = sorted(AMBIGUOUS, key=lambda i: -answer.scores[i])
        preferred = {name: order.index(answer.choose(geometry, prompt, name)) for name in ("object", "best", "part")}
    else:
        order, preferred = [answer.choose(geometry, prompt, prefer)], {}
    logits, scores = answer.logits[order], answer.scores[order]
    masks = np.stack([geometry.upsample(plane) > 0 for plane in logits])
    if region is not None:
        pixels, cells = region
        masks &= pixels
        logits = np.where(cells, logits, np.minimum(logits, _OUTSIDE))
    timings = {"decode": answer.decode_ms, "upsample": elapsed_ms(start)}
    return Result(masks, scores, logits, answer.provider, timings, preferred)
