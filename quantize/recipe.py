"""Which blocks compute in int8, which only store their weights as int8, and which stay float."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from onnx import ModelProto

from edge_sam.bundles.blocks import OUTSIDE
from edge_sam.bundles.contract import Role
from edge_sam.quantize.graph import layers, weight_blocks

HALF: dict[Role, tuple[str, ...]] = {
    "encoder": ("stem*", "convs*", "merges*", "*local_conv", "trunk", "*/position", "neck", OUTSIDE),
    "decoder": ("iou_head*",),
}
"""Name patterns of blocks that compute in float with weights stored as fp16: small blocks that lose much accuracy.
Outside the blocks of a plain ViT are its patches and positions."""
FLOAT: dict[Role, tuple[str, ...]] = {
    "encoder": ("stages.[12].*/fc2",),
    "decoder": ("*",),
}
"""Name patterns of blocks that compute in float because int8 products would lose accuracy (TinyViT's `fc2`; Hiera's
`lin2` does not) or time (the decoder). Their weights are stored as int8."""
TRANSFORMER = ("*/attention", "*/fc[12]", "*/lin[12]")
"""Name patterns of blocks that were ranked. An encoder without any, such as one of convolutions, only stores int8."""


@dataclass(frozen=True)
class Blocks:
    """Blocks of a graph to quantise. Blocks in neither list stay float with weights stored as fp16.

    Attributes
    ----------
    integer : tuple of str
        Blocks that compute in int8.
    stored : tuple of str
        Blocks that store the weights of their float operators as int8.
    """

    integer: tuple[str, ...]
    stored: tuple[str, ...]


def every_block(graph: ModelProto) -> Blocks:
    """List all blocks that can be quantised, in graph order."""
    integer = dict.fromkeys(layer.block for layer in layers(graph))
    return Blocks(tuple(integer), tuple(dict.fromkeys(weight_blocks(graph).values())))


def default_blocks(role: Role, graph: ModelProto) -> Blocks:
    """Choose blocks of a graph by their kind."""
    return chosen_blocks(role, every_block(graph))


def chosen_blocks(role: Role, every: Blocks) -> Blocks:
    """Choose blocks by their kind, as docs/lab/quantization.md and docs/lab/sam2.md found best."""
    if role == "encoder" and not _matching(every.integer, TRANSFORMER):
        return Blocks((), every.stored)
    half = _matching(every.integer + every.stored, HALF[role])
    kept = half | _matching(every.integer, FLOAT[role])
    return Blocks(
        tuple(block for block in every.integer if block not in kept),
        tuple(block for block in every.stored if block not in half),
    )


def _matching(blocks: tuple[str, ...], patterns: tuple[str, ...]) -> set[str]:
    return {block for block in blocks if any(fnmatchcase(block, pattern) for pattern in patterns)}
