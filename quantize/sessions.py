"""Running changed graphs in the place of a model's own, without writing a bundle."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, helper

from edge_sam.bundles.bundle import Bundle
from edge_sam.bundles.contract import Role
from edge_sam.inference.choice import Choice
from edge_sam.loading import load_choice
from edge_sam.predictor import Predictor
from edge_sam.quantize.observers import Seen
from edge_sam.runtimes import Session, SessionOptions, Tensors, backend

ROLES: tuple[Role, ...] = ("encoder", "decoder")
"""The components that are quantised; the mask encoder is 14 kB."""
THREADS = 2
"""Always the same number, so that what is computed, and so what is written, does not depend on the machine's cores."""
_RUNTIME = "onnxruntime"


def open_predictor(bundle: Bundle, precision: str, runtime: str = _RUNTIME) -> Predictor:
    """Load a bundle as the quantiser runs it: one runtime, a fixed number of threads, no fallback."""
    return load_choice(bundle, Choice(runtime, precision, THREADS, "quantising"))


def open_graph(graph: ModelProto) -> Session:
    """Load a graph that is in memory."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "graph.onnx"
        file.write_bytes(graph.SerializeToString())
        return backend(_RUNTIME).open_session(file, SessionOptions(threads=THREADS))


def with_graphs(exact: Predictor, graphs: Mapping[Role, ModelProto]) -> Predictor:
    """Return a predictor that has other graphs for some of the model's components."""
    return Predictor(exact.model.replaced({role: open_graph(graph) for role, graph in graphs.items()}))


class ObservingSession(Session):
    """A graph that looks at some of its inner tensors each time it runs; a `Session`.

    Attributes
    ----------
    seen : dict of str to Seen
        What was seen of each.
    """

    def __init__(self, graph: ModelProto, tensors: list[str], seed: int) -> None:
        watched = ModelProto()
        watched.CopyFrom(graph)
        self._public = {output.name for output in graph.graph.output}
        inner = [name for name in tensors if name not in self._public]
        watched.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in inner)
        self._session = open_graph(watched)
        self.input_names, self.provider = self._session.input_names, self._session.provider
        self.seen = {name: Seen() for name in tensors}
        self._draw = np.random.default_rng(seed)

    def run(self, inputs: Mapping[str, Any]) -> Tensors:
        """See `Session.run`."""
        outputs = self._session.run(inputs)
        for name, seen in self.seen.items():
            seen.add(outputs[name], self._draw)
        return {name: outputs[name] for name in self._public}
