"""What makes the files of a quantised precision, by precision and target: the place to plug in another way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_sam.quantize.half import to_half, written_out
from edge_sam.quantize.recipe import default_blocks
from edge_sam.quantize.targets import TARGETS
from edge_sam.quantize.work import Part, Work


@dataclass(frozen=True)
class Maker:
    """A way to make the files of a precision.

    Attributes
    ----------
    make : callable
        From the float model to encoder and decoder.
    calibrated : bool
        Whether that looks at photographs, and chooses block by block.
    """

    make: Callable[[Work], list[Part]]
    calibrated: bool


def make_int8(work: Work) -> list[Part]:
    """Make int8 graphs in ONNX, with the blocks that `recipe` chooses."""
    family = work.exact.bundle.manifest.family
    graphs = {role: work.quantised(role, default_blocks(family, role, graph)) for role, graph in work.graphs.items()}
    return [Part(role, graph.SerializeToString(deterministic=True)) for role, graph in graphs.items()]


def make_fp16(work: Work) -> list[Part]:
    """Type the graphs in fp16; what is judged spells out every rounding, because ONNX Runtime's CPU hides overflow."""
    halves = {role: to_half(graph) for role, graph in work.graphs.items()}
    return [
        Part(role, half.SerializeToString(deterministic=True), judged=written_out(half))
        for role, half in halves.items()
    ]


MAKERS: dict[str, dict[str, Maker]] = {
    "int8": dict.fromkeys(TARGETS, Maker(make_int8, calibrated=True)),
    "fp16": {"tensorrt": Maker(make_fp16, calibrated=False)},
}
"""By precision and target, the usual target of each first."""
