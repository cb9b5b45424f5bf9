"""From names inside an exported graph to the names of the official checkpoint, by rules for each family."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import InputError

_State = dict[str, NDArray[Any]]
_Rule = tuple[str, Callable[[re.Match[str], NDArray[Any]], _State]]
"""A pattern of the whole name, and what a weight under such a name becomes."""

_BACKGROUND_SIDES = (7, 14)
"""Sides of Hiera's background position embedding."""
_WINDOW = 8
"""Side of Hiera's position embedding inside a window."""
_LARGEST_SIDE = 256
"""Of the folded position embedding: a frame of 1024 pixels in patches of 4."""
_LARGEST_RESIDUAL = 1e-5


def official_names(weights: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the state dict that was exported.

    Parameters
    ----------
    weights : mapping of str to ndarray
        Names and weights from `edge_sam.export.graph_file.read_graph`, of all graphs of the model.

    Returns
    -------
    dict of str to ndarray
        Constants that the exporter computed are left out.

    Raises
    ------
    InputError
        The names are of no known family, a weight has an impossible shape, or a position embedding cannot be taken
        apart.
    """
    state: _State = {}
    rules = _rules(weights)
    for name, weight in weights.items():
        for pattern, rule in rules:
            if match := re.fullmatch(pattern, name):
                try:
                    state |= rule(match, weight)
                except (IndexError, ValueError) as error:
                    raise InputError(f"{name} {list(weight.shape)} is not what was expected: {error}") from error
                break
    return state


def _rules(weights: Mapping[str, NDArray[Any]]) -> tuple[_Rule, ...]:
    for mark, rules in FAMILY_RULES.items():
        if any(re.search(mark, name) for name in weights):
            return rules
    raise InputError("its weights are not named as in a graph of SAM 2, the only family whose graphs can be read")


def _kept(name: str, *shape: int) -> Callable[[re.Match[str], NDArray[Any]], _State]:
    """Give a weight another name, and a shape if the exporter changed it."""
    return lambda match, weight: {match.expand(name): weight.reshape(shape or weight.shape)}


def _transposed(name: str) -> Callable[[re.Match[str], NDArray[Any]], _State]:
    """Name the weight of a linear layer, transposed for the product, after the path of its module."""
    return lambda match, weight: {match.expand(name).replace("/", "."): weight.T}


def _output_tokens(_: re.Match[str], weight: NDArray[Any]) -> _State:
    """Split (1, 6, 256): object score, predicted IoU, four masks."""
    names = ("obj_score_token", "iou_token", "mask_tokens")
    parts = np.split(weight[0], [1, 2])
    return {f"sam_mask_decoder.{name}.weight": part for name, part in zip(names, parts, strict=True)}


def _position_embedding(_: re.Match[str], weight: NDArray[Any]) -> _State:
    """Take Hiera's folded position embedding apart: bicubic enlargement of a background, plus a tiled window.

    Both parts can hold a constant. Of all solutions, least squares gives the one with the smallest norm.
    """
    _, channels, side, _ = weight.shape
    if side > _LARGEST_SIDE or not np.isfinite(weight).all():
        raise ValueError("it is too large, or has values that are no numbers")
    target = weight.reshape(channels, -1).T.astype(np.float64)
    window = np.tile(np.eye(_WINDOW), (side // _WINDOW, 1))
    for small in _BACKGROUND_SIDES:
        enlarge = _bicubic(small, side)
        basis = np.hstack([np.kron(enlarge, enlarge), np.kron(window, window)])
        solved = np.linalg.lstsq(basis.T @ basis, basis.T @ target, rcond=1e-10)[0]
        if np.abs(basis @ solved - target).max() < _LARGEST_RESIDUAL:
            background, tile = np.split(solved.T.astype(np.float32), [small**2], axis=1)
            return {
                "image_encoder.trunk.pos_embed": background.reshape(1, channels, small, small),
                "image_encoder.trunk.pos_embed_window": tile.reshape(1, channels, _WINDOW, _WINDOW),
            }
    raise ValueError("it is not the sum of an enlarged and a tiled position embedding")


def _bicubic(small: int, large: int) -> NDArray[np.float64]:
    """Return the (large, small) matrix of torch's bicubic enlargement: a = -0.75, half-pixel centres."""
    matrix = np.zeros((large, small))
    positions = (np.arange(large) + 0.5) * small / large - 0.5
    for row, position in enumerate(positions):
        for tap in range(int(np.floor(position)) - 1, int(np.floor(position)) + 3):
            far = abs(position - tap)
            near = 1.25 * far**3 - 2.25 * far**2 + 1
            value = near if far <= 1 else -0.75 * (far**3 - 5 * far**2 + 8 * far - 4)
            matrix[row, min(max(tap, 0), small - 1)] += value
    return matrix


_SAM2: tuple[_Rule, ...] = (
    (r"(?:model\.)?((?:image_encoder|sam_prompt_encoder|sam_mask_decoder)\..+)", _kept(r"\1")),
    (r"(?:prompt|mask)_(?:en|de)coder\..+", _kept(r"sam_\g<0>")),
    (r"no_mem_embed", _kept(r"\g<0>", 1, 1, -1)),
    (r"/image_encoder/trunk/Transpose_output_0", _position_embedding),
    (r"/(image_encoder/trunk/blocks.+)/Transpose_output_0", _transposed(r"\1.weight")),
    (r"MatMul /(transformer/.+)/MatMul", _transposed(r"sam_mask_decoder.\1.weight")),
    (r"Mul /(output_upscaling\.\d)/Mul", _kept(r"sam_mask_decoder.\1.weight", -1)),
    (r"Add /(output_upscaling\.\d)/Add_1", _kept(r"sam_mask_decoder.\1.bias", -1)),
    (r"Mul /mask_downscaling/(.+)/Mul", _kept(r"sam_prompt_encoder.\1.weight", -1)),
    (r"Add /mask_downscaling/(.+)/Add_1", _kept(r"sam_prompt_encoder.\1.bias", -1)),
    (r"Mul /Mul_\d+", _kept("sam_prompt_encoder.no_mask_embed.weight", 1, -1)),
    (r"Expand /Expand_\d+", _output_tokens),
)
FAMILY_RULES: dict[str, tuple[_Rule, ...]] = {
    r"image_encoder[./]trunk|prompt_encoder\.not_a_point_embed": _SAM2,
}
"""The rules of each family, by a pattern that the name of one of its weights holds."""
