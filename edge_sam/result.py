"""Masks as the user gets them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sam.masks import Rle, box_of, encode_rle
from edge_sam.overlay import draw_overlay
from edge_sam.prompts import Prompt


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
    """

    masks: NDArray[np.bool_]
    scores: NDArray[np.float32]
    logits: NDArray[np.float32]
    provider: str = ""
    timings: Mapping[str, float] = field(default_factory=dict)

    @property
    def boxes(self) -> NDArray[np.float32]:
        """Tight boxes around the masks.

        Returns
        -------
        ndarray of float32, (N, 4)
            XYXY in pixels; x1 and y1 are one past the last pixel, so ``x1 - x0`` is the width. Zeros where a
            mask is empty.
        """
        boxes = np.zeros((len(self.masks), 4), dtype=np.float32)
        for box, mask in zip(boxes, self.masks, strict=True):
            found = box_of(mask)
            box[:] = 0 if found is None else found
        return boxes

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
            gives back its pixels. Holes are not traced: use `to_rle` where they matter.
        """
        polygons = []
        for mask in self.masks:
            found = cv2.findContours(mask.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
            polygons.append([contour.reshape(-1, 2).astype(np.int32) for contour in found[0]])
        return polygons
