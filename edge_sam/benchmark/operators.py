"""Where a component's time goes, by the runtime's own operator profile."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sam.benchmark.report import OperatorProfile, Share
from edge_sam.blocks import OUTSIDE, block_of
from edge_sam.contract import Role
from edge_sam.evaluation.segmenters import Variant
from edge_sam.images import read_image
from edge_sam.predictor import Predictor
from edge_sam.prompts import Prompt
from edge_sam.runtimes import Session, Tensors, backend

RUNS = 5
Inputs = Mapping[str, NDArray[Any]]
Event = dict[str, Any]
"""One node of one run, as a complete event of the Chrome trace format: name, ts and dur in microseconds."""


class _Recorder:
    """A session that remembers what it was given last."""

    def __init__(self, session: Session) -> None:
        self.provider, self.input_names = session.provider, session.input_names
        self.inputs: Inputs = {}
        self._session = session

    def upload(self, array: NDArray[Any]) -> NDArray[Any]:
        return array

    def run(self, inputs: Inputs) -> Tensors:
        self.inputs = dict(inputs)
        return self._session.run(inputs)


def profile(variant: Variant, image: Path, say: Callable[[str, bytes], str]) -> list[OperatorProfile]:
    """Profile encoder and decoder on one photograph and a click on its centre.

    Parameters
    ----------
    variant : Variant
        What to profile.
    image : Path
        The photograph.
    say : callable
        Is given a component's name and its trace, and returns where it was put.

    Returns
    -------
    list of OperatorProfile
        Empty where the runtime has no profiler that is known here.
    """
    segmenter = variant.open()
    predictor = segmenter.predictor
    if predictor.runtime not in _PROFILERS:
        return []
    active, pixels = predictor.model.active, read_image(image)
    recorders: dict[Role, _Recorder] = {"encoder": _Recorder(active.encoder), "decoder": _Recorder(active.decoder)}
    height, width = pixels.shape[:2]
    watched = replace(segmenter, predictor=Predictor(predictor.model.replaced(recorders)))
    watched.encode(pixels)(Prompt(points=[(width / 2, height / 2)]), True)
    bundle, formats = predictor.bundle, backend(predictor.runtime).MODEL_FORMATS
    profiles = []
    for component, recorder in recorders.items():
        entry = bundle.component(component, predictor.precision, *formats)
        events = _PROFILERS[predictor.runtime](bundle.verified_file(entry), recorder.inputs, variant.threads)
        trace = say(component, json.dumps({"traceEvents": events}).encode())
        profiles.append(_tables(component, events, trace))
    return profiles


def _tables(component: str, events: Sequence[Event], trace: str) -> OperatorProfile:
    total = sum(event["dur"] for event in events)
    blocks = []
    last = OUTSIDE
    for event in events:
        # A node without a path counts with the one that ran before it, whose result it most likely takes.
        last = block_of(event["args"]["node"]) or last
        blocks.append((last, event["dur"]))
    return OperatorProfile(
        component,
        total / 1000 / RUNS,
        _shares((event["args"]["op_name"], event["dur"]) for event in events),
        _shares(blocks),
        trace,
    )


def _shares(pairs: Iterable[tuple[str, float]]) -> list[Share]:
    durations: dict[str, list[float]] = defaultdict(list)
    for name, microseconds in pairs:
        durations[name].append(microseconds)
    total = sum(map(sum, durations.values())) or 1.0
    shares = [
        Share(name, sum(each) / 1000 / RUNS, sum(each) / total, len(each) // RUNS) for name, each in durations.items()
    ]
    return sorted(shares, key=lambda share: -share.ms)


def _profile_onnxruntime(model: Path, inputs: Inputs, threads: int | None) -> list[Event]:
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        if threads is not None:
            options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        for _ in range(RUNS + 1):
            session.run(None, dict(inputs))
        events = json.loads(Path(session.end_profiling()).read_text())
    nodes = [event for event in events if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")]
    for event in nodes:
        event["args"]["node"] = event["name"].removesuffix("_kernel_time")
    # The first run warms up; every run has the same nodes.
    return nodes[len(nodes) // (RUNS + 1) :]


def _profile_openvino(model: Path, inputs: Inputs, threads: int | None) -> list[Event]:
    import openvino

    options: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "PERF_COUNT": True,
    }
    if threads is not None:
        options["INFERENCE_NUM_THREADS"] = threads
    request = openvino.Core().compile_model(str(model), "CPU", options).create_infer_request()
    events: list[Event] = []
    clock = 0.0
    for number in range(RUNS + 1):
        request.infer({name: np.ascontiguousarray(array) for name, array in inputs.items()})
        if not number:
            continue
        for node in request.get_profiling_info():
            microseconds = node.real_time.total_seconds() * 1e6
            if microseconds > 0:
                # OpenVINO tells durations but no starts: one node is drawn after the other.
                events.append(
                    {
                        "cat": "Node",
                        "ph": "X",
                        "pid": 0,
                        "tid": 0,
                        "name": node.node_name,
                        "ts": clock,
                        "dur": microseconds,
                        "args": {"op_name": node.node_type, "node": node.node_name, "kernel": node.exec_type},
                    }
                )
                clock += microseconds
    return events


_PROFILERS: dict[str, Callable[[Path, Inputs, int | None], list[Event]]] = {
    "onnxruntime": _profile_onnxruntime,
    "openvino": _profile_openvino,
}
