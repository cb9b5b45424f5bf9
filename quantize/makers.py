"""What makes the files of a quantised precision, by precision and target: the place to plug in another way."""

from __future__ import annotations

from collections.abc import Callable

from edge_sam.quantize.half import to_half, written_out
from edge_sam.quantize.recipe import default_blocks
from edge_sam.quantize.targets import TARGETS
from edge_sam.quantize.work import Part, Work

Maker = Callable[[Work], list[Part]]


def make_int8(work: Work) -> list[Part]:
    """Make int8 graphs in ONNX, with the blocks that `recipe` chooses."""
    family = work.exact.bundle.manifest.family
    graphs = {role: work.quantised(role, default_blocks(family, role, graph)) for role, graph in work.graphs.items()}
    return [Part(role, "onnx", graph.SerializeToString(deterministic=True)) for role, graph in graphs.items()]


def make_fp16(work: Work) -> list[Part]:
    """Type the graphs in fp16; what is judged spells out every rounding, because ONNX Runtime's CPU hides overflow."""
    halves = {role: to_half(graph) for role, graph in work.graphs.items()}
    return [
        Part(role, "onnx", half.SerializeToString(deterministic=True), judged=written_out(half))
        for role, half in halves.items()
    ]


MAKERS: dict[str, dict[str, Maker]] = {
    "int8": dict.fromkeys(TARGETS, make_int8),
    "fp16": {"tensorrt": make_fp16},
}
"""By precision and target, the usual target of each first."""
