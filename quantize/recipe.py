"""Which blocks compute in int8, which only store their weights so, and which stay as they are."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from onnx import ModelProto

from edge_sam.bundles.contract import Role
from edge_sam.quantize.graph import layers, weight_blocks

HALF: dict[Role, tuple[str, ...]] = {
    "encoder": ("stem*", "convs*", "merges*", "*local_conv", "neck"),
    "decoder": ("iou_head*",),
}
"""Blocks that compute in float, with weights stored as fp16, as patterns of their names: small, and dear in masks."""
FLOAT: dict[Role, tuple[str, ...]] = {
    "encoder": ("stages.[12].*/fc2",),
    "decoder": ("*",),
}
"""Blocks that compute in float although they could in int8, because that costs masks or time; their weights are stored
as int8."""
RANKED = ("mobile-sam",)
"""Families whose encoder has the blocks above. Decoders are alike in all."""


@dataclass(frozen=True)
class Blocks:
    """What becomes of the blocks of a graph; those in neither list stay float, with weights stored as fp16.

    Attributes
    ----------
    integer : tuple of str
        They compute in int8.
    stored : tuple of str
        Weights of theirs that no integer product takes are stored as int8.
    """

    integer: tuple[str, ...]
    stored: tuple[str, ...]


def every_block(graph: ModelProto) -> Blocks:
    """List all that can be quantised, in the graph's order."""
    integer = dict.fromkeys(layer.block for layer in layers(graph))
    return Blocks(tuple(integer), tuple(dict.fromkeys(weight_blocks(graph).values())))


def default_blocks(family: str, role: Role, graph: ModelProto) -> Blocks:
    """Choose as the ranking of docs/lab/quantization.md says; an encoder that was not ranked only stores int8."""
    every = every_block(graph)
    if role == "encoder" and family not in RANKED:
        return Blocks((), every.stored)
    half = _matching(every.integer + every.stored, HALF[role])
    kept = half | _matching(every.integer, FLOAT[role])
    return Blocks(
        tuple(block for block in every.integer if block not in kept),
        tuple(block for block in every.stored if block not in half),
    )


def _matching(blocks: tuple[str, ...], patterns: tuple[str, ...]) -> set[str]:
    return {block for block in blocks if any(fnmatchcase(block, pattern) for pattern in patterns)}
