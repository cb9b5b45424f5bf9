"""The worker process that measures one variant; `edge_sam.benchmark.process` starts it.

Only a fresh process shows start-up time, first run and peak memory. The protocol is JSON lines. The worker answers a
`LoadRequest` on standard input with `Loaded` or `Failed`, each `RunRequest` with `RunResult`, and the end of input with
`PeakMemory`. Standard output carries nothing else, even if native libraries print.
"""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from edge_sam.errors import one_line
from edge_sam.evaluation.variant import SegmenterFacts, Variant
from edge_sam.files.serialization import from_json, to_json
from edge_sam.imaging.images import read_image
from edge_sam.prompts import Prompt
from edge_sam.runtimes import backend
from edge_sam.system.machine import read_text
from edge_sam.system.timing import elapsed_ms


class LoadRequest(msgspec.Struct):
    """The variant to load, and the photographs that run requests refer to by index."""

    variant: Variant
    images: list[str]


class Loaded(msgspec.Struct, tag=True):
    """The model is loaded."""

    facts: SegmenterFacts
    load_ms: float
    """Total, including the two times below."""
    compile_ms: float
    guard_ms: float


class Failed(msgspec.Struct, tag=True):
    """The variant does not work here."""

    reason: str


class RunRequest(msgspec.Struct):
    """Segment a photograph: one click on its centre, three masks."""

    image: int
    with_masks: bool = False


class RunResult(msgspec.Struct, tag=True):
    """Milliseconds by stage and in total, and the masks as COCO RLE if requested."""

    stages: dict[str, float]
    total_ms: float
    masks: list[dict[str, object]] = []


class PeakMemory(msgspec.Struct, tag=True):
    """Peak resident memory of the process."""

    peak_rss_mb: float


Message = Loaded | Failed | RunResult | PeakMemory


def peak_rss_mb() -> float:
    """Return the peak resident memory of this process in MiB."""
    # getrusage would include the parent's memory from between fork and exec.
    found = re.search(r"VmHWM:\s+(\d+) kB", read_text(Path("/proc/self/status")))
    if found:
        return int(found[1]) / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def main() -> None:
    """Serve until standard input ends."""
    channel = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)

    def send(message: Message) -> None:
        channel.write(to_json(message) + b"\n")

    load = from_json(sys.stdin.buffer.readline(), LoadRequest)
    try:
        if load.variant.runtime != "auto":
            backend(load.variant.runtime).load_package()  # Counts as start-up, not as compilation.
        start = time.perf_counter()
        segmenter = load.variant.open()
        load_ms = elapsed_ms(start)
        timings = segmenter.predictor.model.active.timings
        send(Loaded(segmenter.facts, load_ms, timings["compile"], timings["guard"]))
    except Exception as error:  # Runtimes can raise anything; the parent reports it.
        send(Failed(one_line(error)))
        return
    predictor = segmenter.predictor
    view: dict[str, Any] = {"long_side": load.variant.long_side, "square": load.variant.square}
    sizes = [read_image(image).shape for image in load.images]
    for line in sys.stdin.buffer:
        request = msgspec.json.decode(line, type=RunRequest)
        height, width = sizes[request.image][:2]
        prompt = Prompt(points=[(width / 2, height / 2)])
        try:
            if request.with_masks:  # Before the timed runs, which should be like those of a long run.
                predictor.warm_up(load.images[request.image], **view)
            start = time.perf_counter()
            embedding = predictor.encode(load.images[request.image], **view)
            result = predictor.predict(embedding, prompt, multimask=True)
        except Exception as error:
            send(Failed(one_line(error)))
            return
        total = elapsed_ms(start)
        send(RunResult({**embedding.timings, **result.timings}, total, result.to_rle() if request.with_masks else []))
    send(PeakMemory(peak_rss_mb()))


if __name__ == "__main__":
    main()
