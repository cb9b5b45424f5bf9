"""Ranges of input shapes for runtimes that build engines for a range."""

from __future__ import annotations

from collections.abc import Sequence

from edge_sam.bundles.contract import CHANNELS, HYPER, MASKS, Contract, Role
from edge_sam.errors import InputError
from edge_sam.imaging.geometry import CELL
from edge_sam.imaging.view import FRAME, TOKEN
from edge_sam.inference.token_list import token_list
from edge_sam.runtimes import ShapeRange, backend

MAX_PROMPTS = 8
MAX_POINTS = 64
"""Most points of one prompt, box corners and padding included."""

_WIDE = 9 * FRAME // 16
"""Height of a 16:9 photograph in the frame, the shape of most cameras."""


def profiles(contract: Contract) -> dict[Role, dict[str, ShapeRange]]:
    """Return the smallest, typical and largest shape of each dynamic input by component.

    They cover all that the predictor sends.
    """
    multiple, reduction, padded = contract.fit.multiple, contract.fit.reduction, contract.fit.padded
    sizes = (multiple, multiple), (_WIDE, FRAME), (FRAME, FRAME)
    frames = (sizes[-1],) * 3 if padded else sizes
    grids = [(height // TOKEN, width // TOKEN) for height, width in frames]
    prompts = (1, 1, MAX_PROMPTS)
    tokens = [(*grid, CHANNELS) for grid in grids]
    masked = [(count, *each) for count, each in zip(prompts, tokens, strict=True)]
    masks = [(height // CELL, width // CELL) for height, width in frames]
    encoded = [(height // TOKEN, width // TOKEN) for height, width in sizes]
    return {
        "encoder": {"image": _shapes([(1, 3, height // reduction, width // reduction) for height, width in sizes])},
        "mask_encoder": {
            **({} if padded else {"image_embedding": _shapes([(1, *each) for each in tokens])}),
            "mask": _shapes([(count, *each) for count, each in zip(prompts, masks, strict=True)]),
        },
        "decoder": {
            **(_listed(encoded) if contract.weighted_tokens else {"image_tokens": _shapes(masked)}),
            **{each.name: _shapes([(1, *each.size(*grid)) for grid in grids]) for each in contract.high_res},
            "point_coords": ((1, 1, 2), (1, 2, 2), (MAX_PROMPTS, MAX_POINTS, 2)),
            "point_labels": ((1, 1), (1, 2), (MAX_PROMPTS, MAX_POINTS)),
            # Range of the tensor's values (rows and columns), not of its shape.
            **({"token_size": _shapes(encoded)} if padded else {}),
        },
        **({"upscaling": _upscaling(encoded)} if contract.separate_upscaling else {}),
    }


def _listed(grids: Sequence[tuple[int, int]]) -> dict[str, ShapeRange]:
    """Return the shapes of the inputs for image tokens, from the grids that photographs of these sizes cover."""
    counts = [len(token_list(*grid).index) for grid in grids]
    return {
        "image_tokens": _shapes(
            [(prompts, count, CHANNELS) for prompts, count in zip((1, 1, MAX_PROMPTS), counts, strict=True)]
        ),
        "token_index": _shapes([(count,) for count in counts]),
        "token_count": _shapes([(count,) for count in counts]),
    }


def _upscaling(grids: Sequence[tuple[int, int]]) -> dict[str, ShapeRange]:
    """Return the inputs of the upscaling for photographs that cover these grids."""
    counts = [rows * columns for rows, columns in grids]
    sizes = list(zip((1, 1, MAX_PROMPTS), counts, (1, MASKS, MASKS), strict=True))
    return {
        "attended_tokens": _shapes([(prompts, count, CHANNELS) for prompts, count, _ in sizes]),
        "mask_weights": _shapes([(prompts, masks, HYPER) for prompts, _, masks in sizes]),
        "token_size": _shapes(grids),
    }


def _shapes(shapes: Sequence[tuple[int, ...]]) -> ShapeRange:
    smallest, typical, largest = shapes
    return smallest, typical, largest


def check_points(count: int, runtime: str) -> None:
    """Raise `InputError` if a prompt has more points, box corners and padding included, than an engine takes."""
    if count > MAX_POINTS and backend(runtime).BUILDS_ENGINES:
        raise InputError(
            f"a prompt has {count} points, box corners and padding included; {runtime} is compiled for {MAX_POINTS}:"
            " give fewer, or take another runtime"
        )
