"""Geometry: coordinates of the photograph, the model's frame, its image tokens and low-res logits.

SAM works in a square frame of 1024×1024 pixels, with the scaled photograph in its top-left corner (arXiv 2304.02643,
section 3). SAM 2 has no padding: its frame is the encoder's input, which the photograph fills (`Fit`). The image
embedding has one token for each 16×16 pixels of the frame, the low-res logits one value for each 4×4 cell.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import InputError
from edge_sam.imaging.masks import box_of
from edge_sam.imaging.view import FRAME, PADDED, TOKEN, Fit, View

CELL = 4
"""Pixels of the frame along one side of a low-res cell."""
GRID = FRAME // TOKEN
"""Image tokens along one side of the padded frame."""
LOGITS = FRAME // CELL
"""Low-res logits along one side of the padded frame, the most that any frame has."""
BACKGROUND = np.float32(-18)
"""Logit of a cell that is certainly background (the threshold is 0)."""


@dataclass(frozen=True)
class Geometry(View):
    """Position of a photograph in the model's frame.

    Attributes
    ----------
    image_size : tuple of int
        (height, width) of the photograph in pixels.
    square : bool
        Whether the photograph is encoded as a square.
    fit : Fit
        The family's rule.

    Raises
    ------
    InputError
        The photograph is empty, or the long side is invalid.
    """

    image_size: tuple[int, int]
    square: bool = field(default=False, kw_only=True)
    fit: Fit = field(default=PADDED, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "long_side", int(self.long_side))  # An integer of numpy's is no JSON.
        if min(self.image_size) < 1:
            height, width = self.image_size
            raise InputError(f"the image is empty ({width}×{height} pixels)")
        if self.long_side % self.fit.multiple:
            raise InputError(
                f"long_side is {self.long_side}; for this model it must be a multiple of {self.fit.multiple}"
            )

    @property
    def scaled_size(self) -> tuple[int, int]:
        """(height, width) of the photograph in the frame, in pixels of the frame."""
        if self.square and not self.fit.padded:
            return self.long_side, self.long_side
        unit = 1 if self.fit.padded else self.fit.multiple
        scale = self.long_side / max(self.image_size) / unit
        height, width = (unit * max(1, int(side * scale + 0.5)) for side in self.image_size)
        return height, width

    @property
    def token_size(self) -> tuple[int, int]:
        """(rows, columns) of image tokens that are encoded."""
        if self.square and self.fit.padded:
            return GRID, GRID
        multiple = self.fit.multiple
        rows, columns = (-(-side // multiple) * (multiple // TOKEN) for side in self.scaled_size)
        return rows, columns

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the encoder's input in pixels, in whole tokens."""
        rows, columns = self.token_size
        token = TOKEN // self.fit.reduction
        return rows * token, columns * token

    @property
    def resized(self) -> tuple[int, int]:
        """(height, width) of the photograph in the encoder's input, in pixels."""
        if self.fit.reduction == 1:
            return self.scaled_size
        scale = self.long_side / self.fit.reduction / max(self.image_size)
        height, width = (max(1, int(side * scale + 0.5)) for side in self.image_size)
        return height, width

    @property
    def grid_size(self) -> tuple[int, int]:
        """(rows, columns) of image tokens of the frame, which the decoder takes."""
        return (GRID, GRID) if self.fit.padded else self.token_size

    @property
    def logit_size(self) -> tuple[int, int]:
        """(rows, columns) of low-res logits of the frame."""
        rows, columns = self.grid_size
        return rows * TOKEN // CELL, columns * TOKEN // CELL

    @property
    def cell_size(self) -> tuple[int, int]:
        """(rows, columns) of low-res cells that the photograph covers; the last ones may be covered in part."""
        height, width = self.scaled_size
        return -(-height // CELL), -(-width // CELL)

    @property
    def _pixel(self) -> NDArray[np.float64]:
        """(width, height) of a frame pixel in pixels of the photograph."""
        return np.divide(self.image_size, self.scaled_size)[::-1]

    def to_frame(self, points: NDArray[np.float64]) -> NDArray[np.float32]:
        """Convert (..., 2) XY points from pixels of the photograph to pixels of the frame."""
        return (points / self._pixel).astype(np.float32)

    def from_frame(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert (..., 2) XY points from pixels of the frame to pixels of the photograph."""
        return np.asarray(points * self._pixel)

    def squares_at(self, points: NDArray[np.float64], side: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return rows and columns of the frame's squares of `side` (`CELL` or `TOKEN`) at (N, 2) XY points."""
        last = np.array(self.grid_size[::-1]) * TOKEN // side - 1
        columns, rows = np.minimum(self.to_frame(points) // side, last).astype(np.intp).T
        return rows, columns

    def box_of_tokens(self, window: tuple[slice, slice], shares: NDArray[np.float32]) -> NDArray[np.float64] | None:
        """Return the box around the object in a map of image tokens.

        The map is first interpolated to low-res cells, so that the box is finer than tokens.

        Parameters
        ----------
        window : tuple of slice
            Rows and columns of tokens that the map covers.
        shares : ndarray of float32, (rows, columns)
            Values above 0 are object.

        Returns
        -------
        ndarray of float64, (4,), or None
            XYXY in pixels of the photograph; None if no value is above 0.
        """
        cells = TOKEN // CELL
        fine = cv2.resize(shares, None, fx=cells, fy=cells, interpolation=cv2.INTER_LINEAR)
        inside = box_of(fine > 0)
        if inside is None:
            return None
        corners = inside.reshape(2, 2) * CELL + np.array([window[1].start, window[0].start]) * TOKEN
        box = np.clip(corners * self._pixel, 0, self.image_size[::-1]).ravel()
        return box if box[0] < box[2] and box[1] < box[3] else None

    def centres_of_tokens(self, tokens: NDArray[np.intp]) -> NDArray[np.float64]:
        """Convert (N, 2) rows and columns of tokens to their centres, XY in pixels of and inside the photograph."""
        height, width = self.image_size
        return np.asarray(np.minimum((tokens[:, ::-1] + 0.5) * TOKEN * self._pixel, (width - 1, height - 1)))

    def tokens_of_box(self, box: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert an XYXY box from pixels of the photograph to units of image tokens."""
        return self.to_frame(box.reshape(2, 2)).ravel().astype(np.float64) / TOKEN

    def cover(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the object fraction of each encoded token, (rows, columns), from the frame's low-res logits."""
        rows, columns = self.token_size
        cells = TOKEN // CELL
        inside = logits[: rows * cells, : columns * cells] > 0
        return np.asarray(inside.reshape(rows, cells, columns, cells).mean(axis=(1, 3), dtype=np.float32))

    def cover_of(self, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return the object fraction of each encoded token, (rows, columns), from a (height, width) mask."""
        (height, width), (rows, columns) = self.scaled_size, self.token_size
        frame = np.zeros((rows * TOKEN, columns * TOKEN), dtype=np.float32)
        shares = mask.astype(np.float32)
        frame[:height, :width] = cv2.resize(shares, (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(frame.reshape(rows, TOKEN, columns, TOKEN).mean(axis=(1, 3)))

    def whole_frame(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Pad low-res logits of the encoded tokens, (..., rows, columns), to the frame's `logit_size`.

        The padding is `BACKGROUND`, which as a mask prompt has about the effect of the decoder's own logits there.
        """
        rows, columns = logits.shape[-2:]
        if (rows, columns) == self.logit_size:
            return logits
        whole = np.full((*logits.shape[:-2], *self.logit_size), BACKGROUND, dtype=np.float32)
        whole[..., :rows, :columns] = logits
        return whole

    def upsample(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Upsample the frame's low-res logits to the photograph's size with bilinear interpolation.

        Returns
        -------
        ndarray of float32, (height, width)
            Logits of the photograph's pixels; values above 0 are mask.
        """
        height, width = self.image_size
        # One more cell than the photograph covers, if it was computed, so that its last pixels interpolate like the
        # others.
        limits = (TOKEN // CELL * tokens for tokens in self.token_size)
        rows, columns = (min(cells + 1, limit) for cells, limit in zip(self.cell_size, limits, strict=True))
        fx, fy = CELL * self._pixel
        enlarged = cv2.resize(logits[:rows, :columns], None, fx=fx, fy=fy, interpolation=cv2.INTER_LINEAR)
        return np.asarray(enlarged[:height, :width], dtype=np.float32)

    def cells_touching(self, region: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Find the low-res cells that a region of the photograph touches.

        Parameters
        ----------
        region : ndarray of bool, (height, width)
            Pixels of the photograph.

        Returns
        -------
        ndarray of bool, of `logit_size`
            True if any pixel of the region overlaps the cell. A cell beyond the photograph has the value of the
            nearest cell inside.
        """
        counts = cv2.integral(region.view(np.uint8))
        (top, bottom), (left, right) = (
            self._pixels_under_cells(length, pixel, cells)
            for length, pixel, cells in zip(self.image_size, self._pixel[::-1], self.logit_size, strict=True)
        )
        inside = counts[np.ix_(bottom, right)] - counts[np.ix_(top, right)]
        inside += counts[np.ix_(top, left)] - counts[np.ix_(bottom, left)]
        touched = np.asarray(inside > 0)
        nearest = (
            np.minimum(np.arange(all_cells), cells - 1)
            for all_cells, cells in zip(self.logit_size, self.cell_size, strict=True)
        )
        return touched[np.ix_(*nearest)]

    @staticmethod
    def _pixels_under_cells(length: int, pixel: float, cells: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the first and one past the last pixel under each cell along one axis; equal beyond the end."""
        edges = np.arange(cells + 1) * CELL * pixel
        first = np.minimum(np.floor(edges[:-1]), length).astype(np.intp)
        last = np.minimum(np.ceil(edges[1:]), length).astype(np.intp)
        return first, last
