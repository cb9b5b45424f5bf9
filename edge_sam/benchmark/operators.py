"""Operator profiles of encoder and decoder, from the runtime's own profiler."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edge_sam.benchmark.report import OperatorProfile, TimeShare
from edge_sam.bundles.blocks import OUTSIDE, block_of
from edge_sam.bundles.contract import Role
from edge_sam.evaluation.variant import Variant
from edge_sam.imaging.images import read_image
from edge_sam.inference.components import session_options
from edge_sam.inference.decoder_parts import TwoPartDecoder
from edge_sam.predictor import Predictor
from edge_sam.prompts import Prompt
from edge_sam.runtimes import Event, Session, Tensors, backend, profiler

RUNS = 5
Inputs = Mapping[str, NDArray[Any]]


class _Recorder(Session):
    """A session that records its last inputs."""

    def __init__(self, session: Session) -> None:
        self.provider, self.input_names = session.provider, session.input_names
        self.inputs: Inputs = {}
        self._session = session

    def run(self, inputs: Inputs) -> Tensors:
        self.inputs = dict(inputs)
        return self._session.run(inputs)


def profile(variant: Variant, image: Path, save_trace: Callable[[str, bytes], str]) -> list[OperatorProfile]:
    """Profile encoder and decoder for a click on the centre of a photograph.

    Parameters
    ----------
    variant : Variant
        The variant to profile; its runtime is not ``"auto"``.
    image : Path
        The photograph.
    save_trace : callable
        Takes a component's name and its trace, and returns the path of the trace.

    Returns
    -------
    list of OperatorProfile
        Empty if the runtime has no profiler, or the graphs are those of another maker.
    """
    run_profiled = profiler(variant.runtime)
    if run_profiled is None:
        return []
    segmenter = variant.open()
    predictor = segmenter.predictor
    if predictor.bundle.layout is not None:
        return []
    active, pixels = predictor.model.active, read_image(image)
    recorders: dict[Role, _Recorder] = {"encoder": _Recorder(active.encoder)}
    if isinstance(active.decoder, TwoPartDecoder):
        recorders["decoder"] = _Recorder(active.decoder.attention)
        recorders["upscaling"] = _Recorder(active.decoder.upscaling)
    else:
        recorders["decoder"] = _Recorder(active.decoder)
    height, width = pixels.shape[:2]
    recorded = replace(segmenter, predictor=Predictor(predictor.model.replaced(recorders)))
    recorded.encode(pixels)(Prompt(points=[(width / 2, height / 2)]), "three")
    bundle, formats = predictor.bundle, backend(predictor.runtime).MODEL_FORMATS
    profiles = []
    for component, recorder in recorders.items():
        entry = bundle.component(component, predictor.precision, *formats)
        events = run_profiled(
            bundle.verified_file(entry),
            session_options(active.choice, component, bundle.contract),
            recorder.inputs,
            RUNS,
        )
        trace = save_trace(component, json.dumps({"traceEvents": events}).encode())
        profiles.append(_tables(component, events, trace))
    return profiles


def _tables(component: str, events: Sequence[Event], trace: str) -> OperatorProfile:
    total = sum(event["dur"] for event in events)
    blocks = []
    last = OUTSIDE
    for event in events:
        # A node without a path counts towards the previous node, whose output it most likely consumes.
        last = block_of(event["args"]["node"]) or last
        blocks.append((last, event["dur"]))
    return OperatorProfile(
        component,
        total / 1000 / RUNS,
        _shares((event["args"]["op_name"], event["dur"]) for event in events),
        _shares(blocks),
        trace,
    )


def _shares(pairs: Iterable[tuple[str, float]]) -> list[TimeShare]:
    durations: dict[str, list[float]] = defaultdict(list)
    for name, microseconds in pairs:
        durations[name].append(microseconds)
    total = sum(map(sum, durations.values())) or 1.0
    shares = [
        TimeShare(name, sum(each) / 1000 / RUNS, sum(each) / total, len(each) // RUNS)
        for name, each in durations.items()
    ]
    return sorted(shares, key=lambda share: -share.ms)
