"""Parse prompts from command-line options."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge_sam.errors import InputError

if TYPE_CHECKING:
    from edge_sam import Prompt

_MAX_OBJECTS = 32
"""In one label image. More distinct values mean a photograph."""


def _numbers(text: str, option: str, counts: tuple[int, ...]) -> list[float]:
    """Read the numbers of a point or box."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) not in counts:
        form = "X,Y or X,Y,0|1" if option == "--point" else "X0,Y0,X1,Y1"
        raise InputError(f"{option} {text!r} is not of the form {form}")
    return values


def points_and_boxes(points: Sequence[str], boxes: Sequence[str]) -> list[Prompt]:
    """Points and at most one box make one prompt; several boxes make one prompt each. Without either, return none."""
    from edge_sam.prompts import combine

    corners = [_numbers(text, "--box", (4,)) for text in boxes]
    marks = [_numbers(text, "--point", (2, 3)) for text in points]
    return combine([mark[:2] for mark in marks], [mark[2] if len(mark) == 3 else 1 for mark in marks], corners)


def masks(files: Sequence[Path]) -> tuple[list[Prompt], tuple[int, int] | None]:
    """Turn each number but 0 in each mask into a prompt: its tight box and its most interior point.

    The masks' common (height, width) comes with them; None without a mask.
    """
    import numpy as np

    from edge_sam import Prompt
    from edge_sam.imaging.labels import read_labels
    from edge_sam.imaging.masks import box_of, most_interior

    prompts = []
    size: tuple[int, int] | None = None
    for file in files:
        pixels = read_labels(file)
        height, width = pixels.shape
        if (size := size or (height, width)) != (height, width):
            raise InputError(
                f"mask {file} is {width}×{height}, the one before is {size[1]}×{size[0]}; all masks need one size"
            )
        numbers = [number for number in np.unique(pixels) if number]
        if not 0 < len(numbers) <= _MAX_OBJECTS:
            found = f"holds {len(numbers)} numbers besides 0" if numbers else "contains only 0"
            raise InputError(f"mask {file} {found}; expected 1 to {_MAX_OBJECTS}, each an object")
        for number in numbers:
            mask = pixels == number
            prompts.append(Prompt(points=[most_interior(mask)], box=box_of(mask)))
    return prompts, size
