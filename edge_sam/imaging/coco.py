"""COCO JSON from outside. `pycocotools` trusts what it is given: it may read wild memory, run for minutes or crash."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import InputError
from edge_sam.files.text import read_text
from edge_sam.imaging.masks import decode_rle, run_lengths

Id = int | float | str
"""Of an image, annotation or category. As in `pycocotools`, 7 and 7.0 are one id, 7 and "7" are two."""
_LONGEST_OUTLINE = 2_000_000
"""Pixels along all polygons of one annotation. `pycocotools` takes half a second and 130 MB for so many."""
_AT_ONCE = 16
"""Polygons that are merged by one call, which takes quadratic time."""
_SHOWN = 5
"""Ids that a message names."""
_Kind = TypeVar("_Kind")


class Runs(msgspec.Struct, frozen=True):
    """A mask as run-length encoding, compressed (text) or not."""

    size: tuple[int, int]
    counts: str | list[int]


Segmentation = list[list[float]] | Runs
"""Polygons, each ``[x, y, x, y, …]``, or an RLE."""


class Entry(Protocol):
    """An image, annotation or category."""

    id: Id


class Image(msgspec.Struct):
    """An image of a file of instances."""

    id: Id
    file_name: str


class Annotation(msgspec.Struct, kw_only=True):
    """An object on an image. Readers add the fields that they need."""

    image_id: Id
    iscrowd: bool | int | float | None = 0


def read_coco(path: Path, kind: type[_Kind]) -> _Kind:
    """Read a file of COCO JSON as a type of msgspec.

    Raises
    ------
    InputError
        It cannot be read, or is not of this form.
    """
    data = read_text(path)
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:  # Python's own reader takes what Python wrote: NaN, and names of files that are not UTF-8.
        return msgspec.convert(json.loads(data), kind)
    except RecursionError:
        raise InputError(f"{path} is not COCO instances JSON: it is nested too deeply") from None
    except ValueError as error:
        raise InputError(f"{path} is not COCO instances JSON: {error}") from error


def distinct(entries: Iterable[Entry], what: str, path: Path) -> dict[Id, Any]:
    """Give entries by id. Raises `InputError` where two share one, for each would get what belongs to the other."""
    found: dict[Id, Any] = {}
    for entry in entries:
        if entry.id in found:
            raise InputError(f"{path} has two {what} with the id {entry.id!r:.80}; give each an id of its own")
        found[entry.id] = entry
    return found


def warn_left_out(path: Path, what: str, ids: Sequence[object]) -> None:
    """Warn of annotations of a file that are left out because they have no mask or box, `what`."""
    if ids:
        count = f"{len(ids)} annotation{'s' if len(ids) > 1 else ''}"
        warnings.warn(f"{path}: {count} without a {what} left out (id {some(ids)})", stacklevel=3)


def some(ids: Sequence[object]) -> str:
    """Name the first few of the ids."""
    return ", ".join(f"{one!r:.80}" for one in ids[:_SHOWN]) + (", …" if len(ids) > _SHOWN else "")


def check_segmentation(given: object, size: tuple[int, int]) -> Segmentation | None:
    """Check the segmentation of an annotation.

    Parameters
    ----------
    given : object
        As JSON has it.
    size : tuple of int
        (height, width) of its image.

    Returns
    -------
    list of list of float, or Runs, or None
        What `decode_segmentation` takes; None where there is no mask.

    Raises
    ------
    InputError
        It is neither polygons of three corners and more on the image or near it, nor an RLE of the image's size.
    """
    try:
        segmentation = msgspec.convert(given, Segmentation | None)
    except (ValueError, OverflowError) as error:
        raise InputError(f"the segmentation is neither polygons nor an RLE: {error}") from error
    if isinstance(segmentation, Runs):
        if segmentation.size != size:
            (mask_height, mask_width), (height, width) = segmentation.size, size
            raise InputError(f"the RLE is {mask_width}×{mask_height}, its image is {width}×{height}")
        run_lengths(msgspec.structs.asdict(segmentation))
        return segmentation
    polygons = [polygon for polygon in segmentation or () if polygon]
    for polygon in polygons:
        _check_polygon(polygon, size)
    corners = sum(map(len, polygons)) // 2
    # An edge is at most three times as long as the image; where that is no matter there is no need to measure.
    if 3 * max(size) * corners > _LONGEST_OUTLINE and (length := sum(map(_outline, polygons))) > _LONGEST_OUTLINE:
        raise InputError(f"the outline is {length:.0f} pixels long; the limit is {_LONGEST_OUTLINE}")
    return polygons or None


def decode_segmentation(segmentation: Segmentation, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Fill the mask, (height, width), of what `check_segmentation` gave."""
    from pycocotools import mask as coco

    if isinstance(segmentation, Runs):
        return decode_rle(msgspec.structs.asdict(segmentation))
    rles = coco.frPyObjects(segmentation, *size)
    while len(rles) > 1:
        rles = [coco.merge(rles[i : i + _AT_ONCE]) for i in range(0, len(rles), _AT_ONCE)]
    return decode_rle(rles[0])


def _check_polygon(polygon: list[float], size: tuple[int, int]) -> None:
    if len(polygon) % 2 or len(polygon) < 6:
        raise InputError(f"a polygon has {len(polygon)} numbers; expected x and y of three corners or more")
    height, width = size
    for values, extent in ((polygon[::2], width), (polygon[1::2], height)):
        # Annotators draw over the edge, by less than the image's own size.
        if min(values) < -extent or max(values) > 2 * extent or not math.isfinite(sum(values)):
            raise InputError(f"a polygon has corners far off its image, which is {width}×{height}, or not finite")


def _outline(polygon: list[float]) -> float:
    """Length of an outline in the steps that `pycocotools` takes: the longer side of each edge."""
    corners = np.array(polygon).reshape(-1, 2)
    return float(np.abs(np.diff(corners, axis=0, append=corners[:1])).max(axis=1).sum())
