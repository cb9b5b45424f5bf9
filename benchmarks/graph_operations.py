"""Multiplications that a photograph and a click take: products and convolutions counted in the graphs as they run.

    python benchmarks/graph_operations.py [BUNDLE] [--precision w16] [--long-side 1024,512]

The photograph is 16:9. Each graph runs once with the inputs that the predictor gives it, and the shapes of all tensors
are read from that run. Elementwise operators are not counted.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

import edge_sam
from edge_sam.bundles.contract import Role
from edge_sam.inference.decoder_parts import TwoPartDecoder
from edge_sam.runtimes import REFERENCE, Session, Tensors

_COUNTED = ("MatMul", "Gemm", "Conv", "ConvTranspose")
_SIZE = 576, 1024


class Recorder(Session):
    """A session that remembers its inputs."""

    def __init__(self, session: Session) -> None:
        self._session, self.inputs = session, dict[str, NDArray[Any]]()
        self.provider, self.input_names = session.provider, session.input_names

    def run(self, inputs: Mapping[str, Any]) -> Tensors:
        """Run, and remember."""
        self.inputs = {name: np.asarray(value) for name, value in inputs.items()}
        return self._session.run(inputs)


def gmac(file: Path, inputs: Mapping[str, NDArray[Any]]) -> float:
    """Return the billions of multiplications with addition of one run."""
    model = onnx.load(file)
    shapes = {each.name: tuple(each.dims) for each in model.graph.initializer}
    shapes |= {name: array.shape for name, array in inputs.items()}
    nodes = [node for node in model.graph.node if node.op_type in _COUNTED]
    made = {name for node in model.graph.node for name in node.output}
    needed = sorted({name for node in nodes for name in (*node.input[:2], node.output[0])} & made)
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in needed)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    taken = {each.name: inputs[each.name] for each in session.get_inputs()}
    shapes |= {name: array.shape for name, array in zip(needed, session.run(needed, taken), strict=True)}
    return sum(_multiplications(node, shapes) for node in nodes) / 1e9


def _multiplications(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> int:
    first, second, output = (shapes[name] for name in (*node.input[:2], node.output[0]))
    if node.op_type == "ConvTranspose":
        return math.prod(first) * math.prod(second[1:])
    return math.prod(output) * (math.prod(second[1:]) if node.op_type == "Conv" else first[-1])


def main() -> None:
    """Print a line for each long side and graph."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", nargs="?", default="mobile-sam")
    parser.add_argument("--precision", default="w16")
    parser.add_argument("--long-side", default="1024,512")
    given = parser.parse_args()
    loaded = edge_sam.load(given.bundle, runtime=REFERENCE, precision=given.precision)
    active, bundle = loaded.model.active, loaded.bundle
    recorders: dict[Role, Recorder] = {"encoder": Recorder(active.encoder)}
    if isinstance(active.decoder, TwoPartDecoder):
        recorders["decoder"] = Recorder(active.decoder.attention)
        recorders["upscaling"] = Recorder(active.decoder.upscaling)
    else:
        recorders["decoder"] = Recorder(active.decoder)
    predictor = edge_sam.Predictor(loaded.model.replaced(recorders))
    photograph = np.random.default_rng(0).integers(0, 256, (*_SIZE, 3), dtype=np.uint8)
    for long_side in map(int, given.long_side.split(",")):
        embedding = predictor.encode(photograph, long_side=long_side)
        predictor.predict(embedding, edge_sam.Prompt(points=[(500, 300)]))
        for role, recorder in recorders.items():
            file = bundle.path / bundle.component(role, given.precision, "onnx").file
            print(f"{bundle.manifest.name} {long_side} {role}: {gmac(file, recorder.inputs):.3f} GMAC", flush=True)


if __name__ == "__main__":
    main()
