"""The inputs of quantisation, and the components that it makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from onnx import ModelProto

from edge_sam.bundles.contract import Role
from edge_sam.predictor import Predictor
from edge_sam.quantize.calibration import collect_statistics
from edge_sam.quantize.observers import OBSERVERS, ActivationRange, ActivationStatistics
from edge_sam.quantize.photographs import Photographs
from edge_sam.quantize.qdq import quantise
from edge_sam.quantize.recipe import Blocks
from edge_sam.quantize.smoothing import smooth
from edge_sam.quantize.targets import KernelTarget


@dataclass(frozen=True)
class QuantizedComponent:
    """One quantised component, not written yet.

    Attributes
    ----------
    role : str
        Encoder or decoder.
    graph : ModelProto
        The graph to write.
    rounded : ModelProto, optional
        Graph to measure accuracy with instead, if the runtime here rounds differently from the target's.
    """

    role: Role
    graph: ModelProto
    rounded: ModelProto | None = None


@dataclass
class QuantizationJob:
    """The float model with the calibration set and the settings to quantise it.

    Attributes
    ----------
    exact : Predictor
        The bundle to quantise, loaded in its most exact precision.
    graphs : mapping of str to ModelProto
        Graphs of its encoder and decoder in that precision.
    photographs : Photographs
        The calibration set.
    target : KernelTarget
        Where the model will run.
    observer : str
        One of `OBSERVERS`.
    seed : int
        Seed of all random choices.
    progress : callable
        Called once for each calibration photograph.
    """

    exact: Predictor
    graphs: Mapping[Role, ModelProto]
    photographs: Photographs
    target: KernelTarget
    observer: str
    seed: int
    progress: Callable[[], None]

    @cached_property
    def statistics(self) -> dict[Role, dict[str, ActivationStatistics]]:
        """Statistics of each layer input by component. Calibration runs on first access."""
        return collect_statistics(self.exact, self.graphs, self.photographs.calibration, self.seed, self.progress)

    def quantised(self, role: Role, blocks: Blocks) -> ModelProto:
        """Return one of the graphs with some blocks in int8."""
        graph, statistics = smooth(self.graphs[role], self.statistics[role], blocks.integer)
        observe = OBSERVERS[self.observer]
        ranges = {name: ActivationRange(observe(each), each) for name, each in statistics.items()}
        return quantise(graph, self.target, ranges, blocks.integer, blocks.stored)
