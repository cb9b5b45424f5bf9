"""One combination in a process of its own, which `edge_sam.benchmark.process` starts.

A fresh process is the only honest way to tell start-up, first run and peak memory. It talks JSON lines: a `Job` comes
on standard input and is answered by `Ready` or `Failure`; then each `Request` by `Answer`, and the end of input by
`Farewell`. Nothing else is ever on standard output, whatever native libraries print.
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


class Job(msgspec.Struct):
    """What to load, and the photographs that requests refer to by index."""

    variant: Variant
    images: list[str]


class Ready(msgspec.Struct, tag=True):
    """The model is loaded."""

    facts: SegmenterFacts
    load_ms: float
    """All of it, what follows included."""
    compile_ms: float
    guard_ms: float


class Failure(msgspec.Struct, tag=True):
    """The combination does not work here."""

    reason: str


class Request(msgspec.Struct):
    """Segment a photograph: one click on its centre, three masks."""

    image: int
    with_masks: bool = False


class Answer(msgspec.Struct, tag=True):
    """Milliseconds by stage and in all, and the masks as COCO RLE where they were asked for."""

    stages: dict[str, float]
    total_ms: float
    masks: list[dict[str, object]] = []


class Farewell(msgspec.Struct, tag=True):
    """Most memory that the process ever had resident, or None where the system does not tell."""

    peak_rss_mb: float


Message = Ready | Failure | Answer | Farewell


def peak_rss_mb() -> float:
    """Return the most memory that this process ever had resident, in MiB."""
    # Not getrusage: its maximum counts the parent's memory too, from the moment between fork and exec.
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

    def say(message: Message) -> None:
        channel.write(to_json(message) + b"\n")

    job = from_json(sys.stdin.buffer.readline(), Job)
    try:
        if job.variant.runtime != "auto":
            backend(job.variant.runtime).load_package()  # Which counts as starting and not as compiling.
        start = time.perf_counter()
        segmenter = job.variant.open()
        load_ms = (time.perf_counter() - start) * 1000
        timings = segmenter.predictor.model.active.timings
        say(Ready(segmenter.facts, load_ms, timings["compile"], timings["guard"]))
    except Exception as error:  # Whatever a runtime raises: the combination does not work, and the parent says so.
        say(Failure(one_line(error)))
        return
    predictor = segmenter.predictor
    view: dict[str, Any] = {"long_side": job.variant.long_side, "square": job.variant.square}
    sizes = [read_image(image).shape for image in job.images]
    for line in sys.stdin.buffer:
        request = msgspec.json.decode(line, type=Request)
        height, width = sizes[request.image][:2]
        prompt = Prompt(points=[(width / 2, height / 2)])
        try:
            if request.with_masks:  # It comes before those that count, which are to be like those of a long run.
                predictor.warm_up(job.images[request.image], **view)
            start = time.perf_counter()
            embedding = predictor.encode(job.images[request.image], **view)
            result = predictor.predict(embedding, prompt, multimask=True)
        except Exception as error:
            say(Failure(one_line(error)))
            return
        total = (time.perf_counter() - start) * 1000
        say(Answer({**embedding.timings, **result.timings}, total, result.to_rle() if request.with_masks else []))
    say(Farewell(peak_rss_mb()))


if __name__ == "__main__":
    main()
