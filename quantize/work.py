"""What a quantised precision is made from, and the parts that come out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from onnx import ModelProto

from edge_sam.bundles.contract import Role
from edge_sam.predictor import Predictor
from edge_sam.quantize.calibration import watch
from edge_sam.quantize.observers import OBSERVERS, Observed, Seen
from edge_sam.quantize.photographs import Photographs
from edge_sam.quantize.qdq import quantise
from edge_sam.quantize.recipe import Blocks
from edge_sam.quantize.smoothing import smooth
from edge_sam.quantize.targets import Target


@dataclass(frozen=True)
class Part:
    """One component, ready to be written.

    Attributes
    ----------
    role : str
        Encoder or decoder.
    data : bytes
        The file, ONNX.
    judged : ModelProto, optional
        What to judge masks by in its place, where the runtime at hand hides how its target rounds.
    """

    role: Role
    data: bytes
    judged: ModelProto | None = None


@dataclass
class Work:
    """The float model, and the photographs and settings to quantise it with.

    Attributes
    ----------
    exact : Predictor
        The bundle that is quantised, loaded in its most exact precision.
    graphs : mapping of str to ModelProto
        Its encoder and decoder in that precision.
    photographs : Photographs
        What to calibrate on.
    target : Target
        Where it will run.
    observer : str
        One of `OBSERVERS`.
    seed : int
        Of all that is drawn at random.
    progress : callable
        Called once for each calibration photograph.
    """

    exact: Predictor
    graphs: Mapping[Role, ModelProto]
    photographs: Photographs
    target: Target
    observer: str
    seed: int
    progress: Callable[[], None]

    @cached_property
    def seen(self) -> dict[Role, dict[str, Seen]]:
        """What was seen of every activation that a layer takes, by component; watched for when first asked for."""
        return watch(self.exact, self.graphs, self.photographs.calibration, self.seed, self.progress)

    def quantised(self, role: Role, blocks: Blocks) -> ModelProto:
        """Return one of the graphs with some blocks in int8."""
        graph, seen = smooth(self.graphs[role], self.seen[role], blocks.integer)
        observe = OBSERVERS[self.observer]
        observed = {name: Observed(observe(each), each.gram) for name, each in seen.items()}
        return quantise(graph, self.target, observed, blocks.integer, blocks.stored)
