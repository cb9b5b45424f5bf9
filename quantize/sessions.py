"""Run modified graphs in place of a model's own, without writing a bundle."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, helper

from edge_sam.bundles.bundle import Bundle
from edge_sam.bundles.contract import Role
from edge_sam.bundles.graph_weights import write_graph
from edge_sam.inference.choice import Choice
from edge_sam.loading import load_choice
from edge_sam.predictor import Predictor
from edge_sam.quantize.observers import ActivationStatistics
from edge_sam.runtimes import REFERENCE, Session, SessionOptions, Tensors, backend

ROLES: tuple[Role, ...] = ("encoder", "decoder")
"""Components that are quantised. The mask encoder has only 14 kB."""
THREADS = 2
"""A fixed number, so that results do not depend on the machine's cores."""


def open_predictor(bundle: Bundle, precision: str, runtime: str = REFERENCE) -> Predictor:
    """Load a bundle in one runtime with a fixed number of threads and without fallback."""
    return load_choice(bundle, Choice(runtime, precision, THREADS, "quantising"))


def open_graph(graph: ModelProto) -> Session:
    """Load an in-memory graph."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # Windows keeps files that are mapped.
        file = Path(folder) / "graph.onnx"
        write_graph(graph, file)
        return backend(REFERENCE).open_session(file, SessionOptions(threads=THREADS))


def with_graphs(exact: Predictor, graphs: Mapping[Role, ModelProto]) -> Predictor:
    """Return a predictor with other graphs for some of the components."""
    return Predictor(exact.model.replaced({role: open_graph(graph) for role, graph in graphs.items()}))


class ObservingSession(Session):
    """A session that collects statistics of some inner tensors in each run.

    Attributes
    ----------
    statistics : dict of str to ActivationStatistics
        Statistics of each of these tensors.
    """

    def __init__(self, graph: ModelProto, tensors: list[str], seed: int) -> None:
        observed = ModelProto()
        observed.CopyFrom(graph)
        self._public = {output.name for output in graph.graph.output}
        inner = [name for name in tensors if name not in self._public]
        observed.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in inner)
        self._session = open_graph(observed)
        self.input_names, self.provider = self._session.input_names, self._session.provider
        self.statistics = {name: ActivationStatistics() for name in tensors}
        self._draw = np.random.default_rng(seed)

    def run(self, inputs: Mapping[str, Any]) -> Tensors:
        """See `Session.run`."""
        outputs = self._session.run(inputs)
        for name, statistics in self.statistics.items():
            statistics.add(outputs[name], self._draw)
        return {name: outputs[name] for name in self._public}
