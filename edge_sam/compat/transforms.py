"""Coordinates of the reference's model frame, in numpy or in the caller's torch."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sam.imaging.geometry import Geometry
from edge_sam.imaging.view import Fit, View


class ResizeLongestSide:
    """Converts coordinates from the image to the model's frame, for `SamPredictor.predict_torch`.

    Arrays give arrays, and tensors of torch give tensors. torch is never imported here.

    Parameters
    ----------
    view : View
        How the model sees an image.
    fit : Fit
        How its family fits images into the frame.
    """

    def __init__(self, view: View, fit: Fit) -> None:
        self._view, self._fit = view, fit

    def apply_coords(self, coords: Any, original_size: tuple[int, int]) -> Any:
        """Convert (..., 2) XY points from pixels of an image of (height, width) to pixels of the frame."""
        geometry = Geometry((original_size[0], original_size[1]), **vars(self._view), fit=self._fit)
        return like(geometry.to_frame(as_array(coords)), coords)

    def apply_boxes(self, boxes: Any, original_size: tuple[int, int]) -> Any:
        """Convert (B, 4) XYXY boxes from pixels of an image of (height, width) to pixels of the frame."""
        return self.apply_coords(boxes.reshape(-1, 2, 2), original_size).reshape(-1, 4)

    apply_coords_torch = apply_coords
    apply_boxes_torch = apply_boxes


def as_array(values: Any) -> NDArray[Any]:
    """Return array-like values or a tensor of torch as an array in the host's memory."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def like(array: NDArray[Any], *given: Any) -> Any:
    """Return the array, as a tensor if one of the values that a caller gave is a tensor."""
    torch = sys.modules.get("torch")  # There is no tensor without it.
    if torch is None or not any(isinstance(values, torch.Tensor) for values in given):
        return array
    return torch.from_numpy(array)
