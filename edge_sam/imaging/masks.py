"""Operations on masks: COCO run-length encoding, IoU, box, stability score and label maps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import InputError

Rle = dict[str, Any]
"""``{"size": [height, width], "counts": str}``, as in `pycocotools` and COCO JSON."""
_MAX_DIGITS = 7
"""Digits of a compressed run length: 35 bits, enough for any image, and too few to overflow sums."""


def encode_rle(mask: NDArray[np.bool_]) -> Rle:
    """Encode a (height, width) mask."""
    from pycocotools import mask as coco

    columns = cv2.transpose(mask.view(np.uint8))  # pycocotools wants columns first; OpenCV transposes faster.
    rle = coco.encode(columns.T)
    return {"size": [int(length) for length in mask.shape], "counts": rle["counts"].decode("ascii")}


def decode_rle(rle: Rle) -> NDArray[np.bool_]:
    """Decode to a (height, width) mask. Raises `InputError` as `run_lengths` does."""
    lengths = run_lengths(rle)
    height, width = rle["size"]
    columns = np.repeat((np.arange(lengths.size) & 1).astype(np.uint8), lengths).reshape(width, height)
    return np.asarray(cv2.transpose(columns)).view(np.bool_)


def uncompress_rle(rle: Rle) -> Rle:
    """Return the uncompressed RLE, whose ``counts`` are a list of run lengths, background first."""
    return {"size": rle["size"], "counts": run_lengths(rle).tolist()}


def run_lengths(rle: Rle) -> NDArray[np.int64]:
    """Return the run lengths of an RLE: pixels down the columns, background first.

    `pycocotools` does not check them and leaves missing pixels uninitialised.

    Parameters
    ----------
    rle : dict
        Its ``counts`` are compressed (text or bytes) or a list of integers.

    Returns
    -------
    ndarray of int64, (K,)

    Raises
    ------
    InputError
        The counts are damaged, or their sum is not the number of pixels.
    """
    (height, width), counts = rle["size"], rle["counts"]
    try:
        lengths = _uncompressed(counts) if isinstance(counts, str | bytes) else np.array(counts, dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise InputError("the counts of the RLE are damaged") from error
    pixels = height * width if min(height, width) > 0 else -1
    if lengths.min(initial=0) < 0 or lengths.max(initial=0) > pixels or lengths.sum() != pixels:
        raise InputError(f"the counts of the RLE do not add up to {width}×{height} pixels")
    return lengths


def _uncompressed(counts: str | bytes) -> NDArray[np.int64]:
    """Decode COCO's compressed counts. Raises `ValueError` if they are damaged.

    Each character, minus ``0``, holds five bits of a number, lowest first. The sixth bit is set if the number
    continues, and the highest of the five bits in the last character is its sign. From the fourth number on, each is
    the difference to the number two before it.
    """
    codes = np.frombuffer(counts.encode("ascii") if isinstance(counts, str) else counts, np.uint8).astype(np.int64) - 48
    if not codes.size:
        return codes
    ends = np.flatnonzero(codes & 32 == 0)
    if codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise ValueError
    starts = np.concatenate([[0], ends[:-1] + 1])
    digits = ends - starts + 1
    if digits.max() > _MAX_DIGITS:
        raise ValueError
    place = np.arange(codes.size) - np.repeat(starts, digits)
    numbers: NDArray[np.int64] = np.add.reduceat((codes & 31) << 5 * place, starts)
    numbers -= (codes[ends] >> 4 & 1) << 5 * digits
    numbers[1::2], numbers[2::2] = np.cumsum(numbers[1::2]), np.cumsum(numbers[2::2])
    return numbers


def overlaps(ours: Sequence[Rle], theirs: Sequence[Rle]) -> NDArray[np.float64]:
    """Return the IoU of each of N RLE masks with each of M, (N, M)."""
    from pycocotools import mask as coco

    ious = coco.iou(list(ours), list(theirs), [0] * len(theirs))
    return np.asarray(ious, dtype=np.float64).reshape(len(ours), len(theirs))


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_], valid: NDArray[np.bool_] | None = None) -> float:
    """Intersection over union of two masks.

    Parameters
    ----------
    a, b : ndarray of bool, (height, width)
        Masks.
    valid : ndarray of bool, (height, width), optional
        Pixels to include. Default: all.

    Returns
    -------
    float
        0 to 1; 1 if both masks are empty.
    """
    if valid is not None:
        a, b = a & valid, b & valid
    union = np.count_nonzero(a | b)
    return float(np.count_nonzero(a & b) / union) if union else 1.0


def box_of(mask: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """Return the tight box of a mask: (4,) XYXY with x1 and y1 one past the last pixel; None if it is empty."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return np.array([x, y, x + width, y + height], dtype=np.float64) if width else None


def interior_depth(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return each pixel's distance in pixels to the outside of the mask. The image's edge counts as outside."""
    padded = np.pad(mask, 1).view(np.uint8)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(depth[1:-1, 1:-1], dtype=np.float32)


def most_interior(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """Return the XY of the pixel of a non-empty mask that lies farthest from its outside.

    Alexander Kirillov et al., "Segment Anything", arXiv 2304.02643, appendix D.1: the point where the mask's
    interior distance transform is largest.
    """
    depth = interior_depth(mask)
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(x), int(y)


def stability(logits: NDArray[np.float32], offset: float = 1.0) -> float:
    """Return the stability score: IoU of the masks at thresholds of plus and minus `offset`; 0 if both are empty."""
    inner, outer = np.count_nonzero(logits > offset), int(np.count_nonzero(logits > -offset))
    return float(inner / max(1, outer))


def label_map(masks: Iterable[NDArray[np.bool_]], size: tuple[int, int]) -> NDArray[np.uint16]:
    """Draw masks into a label map: pixel value i is mask i-1, and 0 is none. The smallest mask wins overlaps.

    Parameters
    ----------
    masks : iterable of ndarray of bool, (height, width)
        At most 65535 masks, consumed one by one.
    size : tuple of int
        (height, width).

    Returns
    -------
    ndarray of uint16, (height, width)
    """
    labels = np.zeros(size, dtype=np.uint16)
    areas = np.full(size, np.iinfo(np.int32).max, dtype=np.int32)
    for number, mask in enumerate(masks, start=1):
        area = np.count_nonzero(mask)
        visible = mask & (areas >= area)
        labels[visible], areas[visible] = number, area
    return labels
