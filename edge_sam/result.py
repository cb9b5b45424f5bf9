"""Results: masks at the photograph's size."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sam.bundles.contract import Contract
from edge_sam.errors import MissingExtraError
from edge_sam.imaging.geometry import Geometry
from edge_sam.imaging.masks import Rle, box_of, encode_rle
from edge_sam.overlay import draw_overlay
from edge_sam.preference import AMBIGUOUS, BOUNDS, Bounds, Preference, choose, with_steady_single
from edge_sam.prompts import Prompt
from edge_sam.runtimes import Tensors
from edge_sam.system.timing import elapsed_ms

if TYPE_CHECKING:
    from supervision import Detections

_OUTSIDE = np.float32(-32)
"""Logit outside the region of interest: clearly background (the threshold is 0)."""


class Answer(NamedTuple):
    """The decoder's output for one prompt."""

    logits: NDArray[np.float32]
    """Low-res logits of the frame, (4, rows, columns): the single mask, then the three of an ambiguous prompt."""
    scores: NDArray[np.float32]
    """Predicted IoU of each, (4,)."""
    provider: str
    """The provider that ran the decoder."""
    decode_ms: float
    """Milliseconds of the decoder call. Prompts of the same call have the same value."""

    def choose(self, geometry: Geometry, prompt: Prompt, prefer: Preference, bounds: Bounds = BOUNDS) -> int:
        """Return the index of the preferred mask; see `edge_sam.preference.choose`."""
        rows, columns = geometry.cell_size
        return choose(self.logits[:, :rows, :columns], self.scores, prefer, prompt, bounds)


@dataclass(frozen=True, eq=False)
class Result:
    """The N masks for one prompt, best first.

    Attributes
    ----------
    masks : ndarray of bool, (N, height, width)
        Masks at the photograph's size.
    scores : ndarray of float32, (N,)
        Predicted IoU with the true mask.
    logits : ndarray of float32, (N, rows, columns)
        Low-res logits: 256×256 for families that pad, else 4×4 for each image token. Each can be passed back as
        `Prompt.mask` with the same embedding.
    provider : str
        The provider that ran the decoder.
    timings : mapping of str to float
        Milliseconds by stage: ``decode`` (prompt encoder and mask decoder; prompts of the same call have the same
        value) and ``upsample``.
    preferred : mapping of str to int
        With three masks: the index of the mask that each preference (``object``, ``best``, ``part``) chooses. Empty
        with one mask.
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
            XYXY in pixels; x1 and y1 are one past the last pixel, so ``x1 - x0`` is the width. Zeros for an empty
            mask.
        """
        boxes = [box_of(mask) for mask in self.masks]
        return np.array([np.zeros(4) if box is None else box for box in boxes], np.float32).reshape(-1, 4)

    def to_rle(self) -> list[Rle]:
        """Encode the masks as compressed COCO RLE.

        Returns
        -------
        list of dict
            ``{"size": [height, width], "counts": str}`` for each mask, as in `pycocotools` and COCO JSON.
        """
        return [encode_rle(mask) for mask in self.masks]

    def to_detections(self) -> Detections:
        """Convert the masks for the package `supervision`, which draws, tracks and saves them.

        Returns
        -------
        supervision.Detections
            One for each mask, in the same order: ``xyxy`` is `boxes`, ``mask`` is `masks`, ``confidence`` is `scores`.

        Raises
        ------
        MissingExtraError
            `supervision` is not installed.
        """
        try:
            from supervision import Detections
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                f'to_detections needs {error.name}, which is not installed: pip install "edge-sam[supervision]"'
            ) from error
        return Detections(xyxy=self.boxes, mask=self.masks, confidence=self.scores)

    def overlay(self, image: NDArray[np.uint8], prompts: Sequence[Prompt] = ()) -> NDArray[np.uint8]:
        """Draw the masks, each in its own colour, and the prompts over the photograph.

        Parameters
        ----------
        image : ndarray of uint8, (height, width, 3)
            RGB. It is not changed.
        prompts : sequence of Prompt
            Points are green on the object and red off it. Boxes have the colour of the mask with the same index.

        Returns
        -------
        ndarray of uint8, (height, width, 3)
            RGB.

        Raises
        ------
        InputError
            The image is not 8-bit RGB, or its size differs from the masks' size.
        """
        return draw_overlay(image, self.masks, prompts)

    def to_polygons(self) -> list[list[NDArray[np.int32]]]:
        """Trace the outlines of the masks.

        Returns
        -------
        list of list of ndarray of int32, (K, 2)
            The outer outlines of each mask, each with K corners XY at pixel centres. Filling one (`cv2.fillPoly`)
            restores its pixels. K is at least 3, as COCO readers expect: an outline with one or two corners, as around
            a single pixel, repeats its last corner. Holes are not traced. Use `to_rle` if they matter.
        """
        polygons = []
        for mask in self.masks:
            found = cv2.findContours(mask.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
            corners = [contour.reshape(-1, 2).astype(np.int32) for contour in found[0]]
            polygons.append([np.pad(xy, ((0, max(0, 3 - len(xy))), (0, 0)), mode="edge") for xy in corners])
        return polygons


def to_answers(outputs: Tensors, geometry: Geometry, contract: Contract, provider: str, start: float) -> list[Answer]:
    """Convert the outputs of a decoder call that began at `start` (`time.perf_counter`) to answers."""
    answers = list(zip(geometry.whole_frame(outputs["low_res_logits"]), outputs["predicted_iou"], strict=True))
    if contract.single_stability:
        answers = [with_steady_single(*answer, contract.single_stability) for answer in answers]
    took = elapsed_ms(start)
    return [Answer(logits, scores, provider, took) for logits, scores in answers]


def to_result(
    answer: Answer,
    prompt: Prompt,
    geometry: Geometry,
    region: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None,
    *,
    multimask: bool,
    prefer: Preference,
    logit_limit: float | None = None,
) -> Result:
    """Convert an answer of the decoder to a result.

    Parameters
    ----------
    answer : Answer
    prompt : Prompt
    geometry : Geometry
        How the photograph lies in the frame.
    region : tuple of ndarray of bool, (height, width) and (rows, columns), or None
        Region of interest, in the photograph and in the grid of low-res logits.
    multimask : bool
        True: the three masks, best first. False: the one that `prefer` chooses.
    prefer : Preference
    logit_limit : float, optional
        Clip the logits of the result, not its masks, to plus and minus this.
    """
    start = time.perf_counter()
    if multimask:
        order = sorted(AMBIGUOUS, key=lambda i: -answer.scores[i])
        preferred = {name: order.index(answer.choose(geometry, prompt, name)) for name in ("object", "best", "part")}
    else:
        order, preferred = [answer.choose(geometry, prompt, prefer)], {}
    logits, scores = answer.logits[order], answer.scores[order]
    masks = np.stack([geometry.upsample(plane) > 0 for plane in logits])
    if logit_limit is not None:
        logits = logits.clip(-logit_limit, logit_limit)
    if region is not None:
        pixels, cells = region
        masks &= pixels
        logits = np.where(cells, logits, np.minimum(logits, _OUTSIDE))
    timings = {"decode": answer.decode_ms, "upsample": elapsed_ms(start)}
    return Result(masks, scores, logits, answer.provider, timings, preferred)
