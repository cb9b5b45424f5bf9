"""What makes the files of a quantised precision, by precision and target: the place to plug in another way."""

from __future__ import annotations

from collections.abc import Callable

from edge_sam.quantize.recipe import default_blocks
from edge_sam.quantize.targets import TARGETS
from edge_sam.quantize.work import Part, Work

Maker = Callable[[Work], list[Part]]


def make_int8(work: Work) -> list[Part]:
    """Make int8 graphs in ONNX, with the blocks that `recipe` chooses."""
    return [
        Part(role, "onnx", work.quantised(role, default_blocks(role, graph)).SerializeToString(deterministic=True))
        for role, graph in work.graphs.items()
    ]


MAKERS: dict[tuple[str, str], Maker] = {("int8", target): make_int8 for target in TARGETS}
"""By precision and target."""
