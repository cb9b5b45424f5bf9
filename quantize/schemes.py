"""Quantisation schemes by precision and target. To add one, add it to `SCHEMES`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_sam.quantize.half import to_half, with_explicit_rounding
from edge_sam.quantize.job import QuantizationJob, QuantizedComponent
from edge_sam.quantize.recipe import default_blocks
from edge_sam.quantize.targets import TARGETS


@dataclass(frozen=True)
class Scheme:
    """How a precision is made.

    Attributes
    ----------
    quantize : callable
        Makes encoder and decoder from the float model.
    calibrated : bool
        Whether it needs a calibration set and chooses blocks.
    """

    quantize: Callable[[QuantizationJob], list[QuantizedComponent]]
    calibrated: bool


def make_int8(job: QuantizationJob) -> list[QuantizedComponent]:
    """Make int8 ONNX graphs with the blocks that `recipe` chooses."""
    graphs = {role: job.quantised(role, default_blocks(role, graph)) for role, graph in job.graphs.items()}
    return [QuantizedComponent(role, graph) for role, graph in graphs.items()]


def make_fp16(job: QuantizationJob) -> list[QuantizedComponent]:
    """Make fp16 graphs. Accuracy is measured with explicit rounding, because ONNX Runtime's CPU hides overflow."""
    halves = {role: to_half(graph) for role, graph in job.graphs.items()}
    return [QuantizedComponent(role, half, rounded=with_explicit_rounding(half)) for role, half in halves.items()]


SCHEMES: dict[str, dict[str, Scheme]] = {
    "int8": dict.fromkeys(TARGETS, Scheme(make_int8, calibrated=True)),
    "fp16": {"tensorrt": Scheme(make_fp16, calibrated=False)},
}
"""By precision and target; the first target of each precision is the default."""
