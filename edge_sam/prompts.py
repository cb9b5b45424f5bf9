"""Prompts, their checks, and their conversion to the decoder's input tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_sam.bundles.contract import ABSENT, BOTTOM_RIGHT, NOT_A_POINT, TOP_LEFT
from edge_sam.errors import InputError
from edge_sam.imaging.geometry import CELL, LOGITS, Geometry
from edge_sam.imaging.view import TOKEN

POINT_LIMIT = 1000
"""Most points in one prompt. Each takes about 0.35 MB in the decoder, because it attends to all image tokens."""
_CELLS = TOKEN // CELL
"""Low-res logits along one side of an image token."""


class Prompt:
    """A prompt: any combination of points, one box and one mask.

    Prompts with the same values are equal and have the same hash. Their arrays are read-only copies.

    Parameters
    ----------
    points : array_like, (K, 2), optional
        XY in pixels of the photograph; at most 1000.
    labels : array_like of int, (K,), optional
        1 for a point on the object, 0 for a point off it. Default: all 1.
    box : array_like, (4,), optional
        XYXY in pixels of the photograph. It is clipped to the photograph.
    mask : array_like of float, (rows, columns) or (1, rows, columns), optional
        Low-res logits of an earlier result with the same embedding (`Result.logits[i]`) to refine.

    Attributes
    ----------
    points : ndarray of float64, (K, 2), or None
    labels : ndarray of int64, (K,), or None
    box : ndarray of float64, (4,), or None
    mask : ndarray of float32, (rows, columns), or None

    Raises
    ------
    InputError
        The prompt or its box is empty, a shape is wrong, there are too many points, a value is not finite, or a label
        is neither 0 nor 1.
    """

    def __init__(
        self,
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask: ArrayLike | None = None,
    ) -> None:
        if labels is not None and points is None:
            raise InputError("labels were given without points")
        self.points = None if points is None else _points(points)
        self.labels = None if self.points is None else _labels(labels, len(self.points))
        self.box = None if box is None else _box(box)
        self.mask = None if mask is None else _mask(mask)
        if (self.points is None or len(self.points) == 0) and self.box is None and self.mask is None:
            raise InputError("the prompt is empty; give at least one point, a box or a mask")
        for array in self._arrays:
            if array is not None:
                array.flags.writeable = False

    @property
    def _arrays(self) -> tuple[NDArray[np.generic] | None, ...]:
        return self.points, self.labels, self.box, self.mask

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Prompt):
            return NotImplemented
        return all(
            ours is theirs if ours is None or theirs is None else np.array_equal(ours, theirs)
            for ours, theirs in zip(self._arrays, other._arrays, strict=True)
        )

    def __hash__(self) -> int:
        # Hash numbers, not bytes, because 0.0 equals -0.0. `__eq__` compares the mask.
        return hash(tuple(None if array is None else tuple(array.ravel().tolist()) for array in self._arrays[:3]))

    @property
    def size(self) -> int:
        """Points that the decoder gets, including box corners and padding; one more where boxes are padded."""
        points = 0 if self.points is None else len(self.points)
        return points + (2 if self.box is not None else 1)

    def check(self, image_size: tuple[int, int]) -> None:
        """Check that the prompt fits a photograph of (height, width).

        Raises
        ------
        InputError
            A point or the whole box lies outside the photograph.
        """
        height, width = image_size
        if self.points is not None:
            for x, y in self.points[((self.points < 0) | (self.points >= (width, height))).any(axis=1)]:
                raise InputError(f"point ({x:g}, {y:g}) lies outside the {width}×{height} image")
        if self.box is not None and not ((self.box[:2] < (width, height)).all() and (self.box[2:] > 0).all()):
            given = ", ".join(f"{value:g}" for value in self.box)
            raise InputError(f"box ({given}) lies outside the {width}×{height} image")

    def __repr__(self) -> str:
        given = {
            "points": None if self.points is None else self.points.tolist(),
            "labels": None if self.labels is None else self.labels.tolist(),
            "box": None if self.box is None else self.box.tolist(),
            "mask": None if self.mask is None else "<logits>",
        }
        return f"Prompt({', '.join(f'{name}={value}' for name, value in given.items() if value is not None)})"


def check_prompts(prompts: Prompt | Sequence[Prompt]) -> list[Prompt]:
    """Return one or several prompts as a list. Raises `InputError` for anything else."""
    several = list(prompts) if isinstance(prompts, Sequence) and not isinstance(prompts, str) else [prompts]
    for prompt in several:
        if isinstance(prompt, str):
            raise InputError(f"this model reads no text ({prompt:.40}); text needs a second model: see docs/text.md")
        if not isinstance(prompt, Prompt):
            raise InputError(f"expected an edge_sam.Prompt or a sequence of them, got {type(prompt).__name__}")
    return several


def combine(
    points: Sequence[Sequence[float]], labels: Sequence[float] | None, boxes: Sequence[Sequence[float]]
) -> list[Prompt]:
    """Make prompts from separate lists of points and boxes.

    Points with at most one box make one prompt. Several boxes make one prompt each.

    Parameters
    ----------
    points : sequence of (x, y)
    labels : sequence of number, optional
        One for each point; see `Prompt`.
    boxes : sequence of (x0, y0, x1, y1)

    Raises
    ------
    InputError
        Points come with several boxes, or a prompt is invalid.
    """
    if not points:
        return [Prompt(box=box) for box in boxes]
    if len(boxes) > 1:
        raise InputError("points cannot be combined with several boxes; give at most one box with points")
    return [Prompt(points, labels, boxes[0] if boxes else None)]


def decoder_points(
    prompts: Sequence[Prompt], geometry: Geometry, *, pad_boxes: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Turn N prompts into the decoder's point tensors.

    Box corners are points with their own labels. As in the reference, points without a box get one "not a point".
    Shorter prompts are padded with absent points, which the decoder masks out. So the answer to a prompt does not
    depend on the other prompts.

    Parameters
    ----------
    prompts : sequence of Prompt
        N prompts on one photograph.
    geometry : Geometry
        How that photograph lies in the frame.
    pad_boxes : bool
        See `edge_sam.bundles.contract.Contract`.

    Returns
    -------
    coords : ndarray of float32, (N, P, 2)
        XY in pixels of the frame.
    labels : ndarray of int64, (N, P)
        -2 absent, -1 not a point, 0 negative, 1 positive, 2 and 3 corners of a box.

    Raises
    ------
    InputError
        A point or a whole box lies outside the photograph, or a mask has another grid than the embedding.
    """
    for prompt in prompts:
        if prompt.mask is not None and prompt.mask.shape != geometry.logit_size:
            raise InputError(
                f"the mask prompt has shape {prompt.mask.shape}; this embedding takes {geometry.logit_size} low-res"
                " logits, as its results have them"
            )
    rows = [_tokens(prompt, geometry.image_size, pad_boxes) for prompt in prompts]
    longest = max([1, *(len(labels) for _, labels in rows)])
    coords = np.zeros((len(rows), longest, 2), dtype=np.float32)
    labels = np.full((len(rows), longest), ABSENT, dtype=np.int64)
    for i, (points, kinds) in enumerate(rows):
        if kinds:
            coords[i, : len(kinds)] = geometry.to_frame(points)
            labels[i, : len(kinds)] = kinds
    return coords, labels


def decoder_calls(prompts: Sequence[Prompt], batch: int) -> Iterator[list[Prompt]]:
    """Split prompts into decoder calls.

    In one call, all prompts have a mask or none has. Each prompt is padded to the longest, and the points of all stay
    within `POINT_LIMIT`.
    """
    call: list[Prompt] = []
    for prompt in prompts:
        longest = max(each.size for each in [*call, prompt])
        alike = all((each.mask is None) == (prompt.mask is None) for each in call)
        if call and (len(call) == batch or not alike or longest * (len(call) + 1) > POINT_LIMIT):
            yield call
            call = []
        call.append(prompt)
    if call:
        yield call


def _tokens(prompt: Prompt, image_size: tuple[int, int], pad_boxes: bool) -> tuple[NDArray[np.float64], list[int]]:
    """Return the points of one prompt in pixels of the photograph, and their labels for the decoder."""
    prompt.check(image_size)
    height, width = image_size
    points: list[NDArray[np.float64]] = []
    kinds: list[int] = []
    if prompt.points is not None and prompt.labels is not None and len(prompt.points):
        points.append(prompt.points)
        kinds += prompt.labels.tolist()
    if prompt.box is not None:
        points.append(np.clip(prompt.box.reshape(2, 2), 0, (width, height)))
        kinds += [TOP_LEFT, BOTTOM_RIGHT]
    if kinds and (prompt.box is None or pad_boxes):
        points.append(np.zeros((1, 2)))
        kinds.append(NOT_A_POINT)
    return np.concatenate(points) if points else np.zeros((0, 2)), kinds


def _numbers(values: ArrayLike, what: str) -> NDArray[np.float64]:
    try:
        array = np.array(values)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{what} are not numbers: {error}") from error
    if array.dtype.kind not in "biuf":
        raise InputError(f"{what} are not real numbers")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise InputError(f"{what} must be finite numbers; found {array[~np.isfinite(array)][0]}")
    return array


def _points(values: ArrayLike) -> NDArray[np.float64]:
    points = _numbers(values, "points")
    if points.size == 0:
        return np.zeros((0, 2))
    if points.ndim != 2 or points.shape[1] != 2:
        raise InputError(f"points have shape {points.shape}; expected (K, 2), XY in pixels")
    if len(points) > POINT_LIMIT:
        raise InputError(f"{len(points)} points in one prompt; give at most {POINT_LIMIT}, or several prompts")
    return points


def _labels(values: ArrayLike | None, count: int) -> NDArray[np.int64]:
    if values is None:
        return np.ones(count, dtype=np.int64)
    labels = _numbers(values, "labels")
    if labels.shape != (count,):
        raise InputError(f"labels have shape {labels.shape} for {count} points; expected ({count},)")
    wrong = labels[(labels != 0) & (labels != 1)]
    if wrong.size:
        raise InputError(f"label {wrong[0]:g} is neither 1 (on the object) nor 0 (off it)")
    return labels.astype(np.int64)


def _box(values: ArrayLike) -> NDArray[np.float64]:
    box = _numbers(values, "box corners")
    if box.shape != (4,):
        raise InputError(f"the box has shape {box.shape}; expected (4,), XYXY in pixels")
    if box[0] >= box[2] or box[1] >= box[3]:
        given = ", ".join(f"{value:g}" for value in box)
        raise InputError(f"box ({given}) is empty; expected x0 < x1 and y0 < y1")
    return box


def _mask(values: ArrayLike) -> NDArray[np.float32]:
    try:
        mask = np.asarray(values)
    except ValueError as error:
        raise InputError(f"the mask prompt is not an array: {error}") from error
    size = mask.shape[1:] if mask.ndim == 3 and len(mask) == 1 else mask.shape
    if len(size) != 2 or any(side % _CELLS or not 0 < side <= LOGITS for side in size):
        raise InputError(f"the mask prompt has shape {mask.shape}; expected low-res logits of an earlier result")
    if not np.issubdtype(mask.dtype, np.floating):
        raise InputError(f"the mask prompt is {mask.dtype}; expected float low-res logits (Result.logits)")
    with np.errstate(over="ignore"):
        single = np.array(mask.reshape(size), dtype=np.float32)
    if not np.isfinite(single).all():
        raise InputError("the mask prompt must be finite; found NaN, infinity or a number beyond float32")
    return single
