"""Run-length encoding of masks, as COCO has it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Rle = dict[str, Any]
"""``{"size": [height, width], "counts": str}``."""


def encode(mask: NDArray[np.bool_]) -> Rle:
    """Compress a (height, width) mask."""
    from pycocotools import mask as coco

    columns = cv2.transpose(mask.view(np.uint8))  # pycocotools wants columns first; OpenCV is the faster to turn.
    rle = coco.encode(columns.T)
    return {"size": [int(length) for length in mask.shape], "counts": rle["counts"].decode("ascii")}


def decode(rle: Rle) -> NDArray[np.bool_]:
    """Give back the (height, width) mask."""
    from pycocotools import mask as coco

    return np.asarray(cv2.transpose(coco.decode(rle).T)).view(np.bool_)


def runs(rle: Rle) -> Rle:
    """Give the lengths of the runs instead of their compressed form: ``counts`` a list, background first."""
    columns = decode(rle).T.ravel()
    edges = np.flatnonzero(np.diff(columns)) + 1
    lengths = np.diff(np.concatenate([[0], edges, [columns.size]])).tolist()
    return {"size": rle["size"], "counts": [0, *lengths] if columns[0] else lengths}


def overlaps(rles: list[Rle]) -> NDArray[np.float64]:
    """IoU of every mask with every other, (N, N)."""
    from pycocotools import mask as coco

    if not rles:
        return np.zeros((0, 0))
    return np.asarray(coco.iou(rles, rles, [0] * len(rles)))
