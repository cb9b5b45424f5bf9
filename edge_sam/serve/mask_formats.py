"""Masks and low-res logits as text."""

from __future__ import annotations

import base64
import binascii

import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import InputError
from edge_sam.imaging.images import encode_png
from edge_sam.result import Result
from edge_sam.serve.messages import Format, MaskAnswer, PromptAnswer, Rle


def prompt_answer(result: Result, format: Format, *, logits: bool) -> PromptAnswer:
    """Convert the result of a prompt to an answer with masks in one format."""
    written: list[MaskAnswer] = []
    boxes, polygons = result.boxes.tolist(), result.to_polygons() if format == "polygons" else []
    for i, mask in enumerate(result.masks):
        answer = MaskAnswer(float(result.scores[i]), tuple(boxes[i]), int(np.count_nonzero(mask)))
        if format == "polygons":
            answer.polygons = [[(int(x), int(y)) for x, y in corners] for corners in polygons[i]]
        elif format == "png":
            answer.png = base64.b64encode(mask_png(mask)).decode()
        if logits:
            answer.logits = base64.b64encode(result.logits[i].astype("<f2").tobytes()).decode()
        written.append(answer)
    if format == "rle":
        for answer, rle in zip(written, result.to_rle(), strict=True):
            answer.rle = Rle(tuple(rle["size"]), rle["counts"])
    return PromptAnswer(written, dict(result.preferred))


def mask_png(mask: NDArray[np.bool_]) -> bytes:
    """Encode a (height, width) mask as a grey PNG with 255 on the object."""
    return encode_png(mask.view(np.uint8) * np.uint8(255))


def read_logits(text: str, size: tuple[int, int]) -> NDArray[np.float32]:
    """Decode base64 of little-endian float16 or float32 as low-res logits of (rows, columns). Raises `InputError`."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError("the mask of a prompt is not base64 of low-res logits") from error
    rows, columns = size
    for kind in ("<f2", "<f4"):
        if len(data) == rows * columns * np.dtype(kind).itemsize:
            return np.frombuffer(data, kind).astype(np.float32).reshape(size)
    raise InputError(
        f"the mask of a prompt has {len(data)} bytes; {rows}×{columns} low-res logits take {2 * rows * columns} as"
        " float16, or twice as many as float32"
    )
