"""Validate COCO JSON. `pycocotools` trusts its input: it may read invalid memory, run for minutes or crash."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any, Protocol, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import InputError
from edge_sam.files.text import read_as_utf8
from edge_sam.imaging.masks import decode_rle, run_lengths

Id = int | float | str
"""Id of an image, annotation or category. As in `pycocotools`, 7 equals 7.0 but not "7"."""
_LONGEST_OUTLINE = 2_000_000
"""Pixels along all polygons of one annotation. `pycocotools` takes half a second and 130 MB for that many."""
_MERGE_BATCH = 16
"""Polygons merged in one call, which takes quadratic time."""
_SHOWN = 5
"""Most ids in a message."""
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
    """Read a COCO JSON file as a msgspec type.

    Raises
    ------
    InputError
        The file cannot be read or does not fit the type.
    """
    data = read_as_utf8(path)
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:  # Python's own reader accepts what Python writes: NaN, and file names that are not UTF-8.
        return msgspec.convert(json.loads(data), kind)
    except RecursionError:
        raise InputError(f"{path} is not COCO instances JSON: it is nested too deeply") from None
    except ValueError as error:
        raise InputError(f"{path} is not COCO instances JSON: {error}") from error


def by_id(entries: Iterable[Entry], what: str, path: Path) -> dict[Id, Any]:
    """Return entries by id. Raises `InputError` if two share an id, because their data would be mixed up."""
    found: dict[Id, Any] = {}
    for entry in entries:
        if entry.id in found:
            raise InputError(f"{path} has two {what} with the id {entry.id!r:.80}; give each its own id")
        found[entry.id] = entry
    return found


def check_file_names(images: Iterable[Image], path: Path) -> None:
    """Check that the names of images stay below their folder: whoever wrote a file of annotations knows no other place.

    Raises
    ------
    InputError
        A name is absolute or leads out of the folder.
    """
    for image in images:
        name = PureWindowsPath(image.file_name)  # It knows both kinds of slashes.
        if name.anchor or ".." in name.parts:
            raise InputError(
                f"{path}: the file_name {image.file_name!r:.200} leads out of the images' folder; give a path below it"
            )


def warn_left_out(path: Path, what: str, ids: Sequence[object]) -> None:
    """Warn of annotations of a file that are left out because they have no mask or box, `what`."""
    if ids:
        count = f"{len(ids)} annotation{'s' if len(ids) > 1 else ''}"
        warnings.warn(f"{path}: {count} without a {what} left out (id {first_few(ids)})", stacklevel=3)


def first_few(ids: Sequence[object]) -> str:
    """Format the first few ids."""
    return ", ".join(f"{one!r:.80}" for one in ids[:_SHOWN]) + (", …" if len(ids) > _SHOWN else "")


def check_segmentation(given: object, size: tuple[int, int]) -> Segmentation | None:
    """Check the segmentation of an annotation.

    Parameters
    ----------
    given : object
        The decoded JSON value.
    size : tuple of int
        (height, width) of its image.

    Returns
    -------
    list of list of float, or Runs, or None
        Input for `decode_segmentation`; None if there is no mask.

    Raises
    ------
    InputError
        It is neither polygons with at least three corners on or near the image, nor an RLE of the image's size.
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
    # An edge is at most three times as long as the image, so few corners need no measurement.
    if 3 * max(size) * corners > _LONGEST_OUTLINE and (length := sum(map(_outline, polygons))) > _LONGEST_OUTLINE:
        raise InputError(f"the outline is {length:.0f} pixels long; the limit is {_LONGEST_OUTLINE}")
    return polygons or None


def decode_segmentation(segmentation: Segmentation, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the (height, width) mask of a result of `check_segmentation`."""
    from pycocotools import mask as coco

    if isinstance(segmentation, Runs):
        return decode_rle(msgspec.structs.asdict(segmentation))
    rles = coco.frPyObjects(segmentation, *size)
    while len(rles) > 1:
        rles = [coco.merge(rles[i : i + _MERGE_BATCH]) for i in range(0, len(rles), _MERGE_BATCH)]
    return decode_rle(rles[0])


def _check_polygon(polygon: list[float], size: tuple[int, int]) -> None:
    if len(polygon) % 2 or len(polygon) < 6:
        raise InputError(f"a polygon has {len(polygon)} numbers; expected x and y of three corners or more")
    height, width = size
    for values, extent in ((polygon[::2], width), (polygon[1::2], height)):
        # Annotators draw beyond the border, but by less than the image's size.
        if min(values) < -extent or max(values) > 2 * extent or not math.isfinite(sum(values)):
            raise InputError(f"a polygon has corners far off its image, which is {width}×{height}, or not finite")


def _outline(polygon: list[float]) -> float:
    """Return an outline's length in steps of `pycocotools`: the longer side of each edge."""
    corners = np.array(polygon).reshape(-1, 2)
    return float(np.abs(np.diff(corners, axis=0, append=corners[:1])).max(axis=1).sum())
