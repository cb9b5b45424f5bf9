"""Tracking through videos: frames per second of the tracker alone, its stages, and J.

    python benchmarks/track.py FOLDER [--model mobile-sam] [--precision auto] [--runtime auto] [--long-side 768,512]
        [--interval 1] [--frames N] [--click] [--output FILE]

FOLDER holds videos with masks in a layout that `edge-sam eval` reads. The only prompt is the true box in the first
frame, or with --click the object's most interior pixel. All frames are processed. J excludes the first and the last
frame, as in DAVIS. Reading and scoring the frames is not timed. The table counts frames that reuse the last answer,
because they cost little. With --interval N, every N-th frame is encoded, and optical flow carries the masks through the
others.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import edge_sam
from edge_sam.evaluation.datasets import open_dataset
from edge_sam.evaluation.protocols import box_prompt, click_prompt
from edge_sam.evaluation.samples import Clip
from edge_sam.imaging.masks import iou
from edge_sam.system.timing import elapsed_ms
from edge_sam.tracking import Tracker


def track(
    predictor: edge_sam.Predictor,
    long_side: int,
    clip: Clip,
    frames: int | None,
    interval: int,
    prompt: Callable[[NDArray[np.bool_]], edge_sam.Prompt],
) -> tuple[float, float]:
    """Print the row of one video. Returns J and milliseconds per frame."""
    tracker = Tracker(predictor, long_side=long_side)
    ious, times, lost, reused = [], [], 0, 0
    stages: dict[str, list[float]] = defaultdict(list)
    for index, sample in enumerate(islice(clip.frames, frames)):
        image, targets = sample.load()
        start = time.perf_counter()
        if index == 0:
            tracked = tracker.start(image, [prompt(target.truth) for target in targets])
        else:
            tracked = tracker.step(image, encode=index % interval == 0)
            times.append(elapsed_ms(start))
            for stage, spent in tracker.timings.items():
                stages[stage].append(spent)
        reused += "reused" in tracker.timings
        lost += any(item.state == "lost" for item in tracked)
        pairs = zip(tracked, targets, strict=True)
        ious.append(np.mean([iou(item.mask, target.truth, target.valid) for item, target in pairs]))
    j, mean = float(np.mean(ious[1:-1])), float(np.mean(times))
    split = ", ".join(f"{stage} {np.median(spent):.0f}" for stage, spent in stages.items())
    p50, p95 = np.percentile(times, (50, 95))
    cells = (clip.name, long_side, f"{j:.3f}", f"{1000 / mean:.1f}", f"{p50:.0f} / {p95:.0f}", lost, reused, split)
    print(f"| {' | '.join(map(str, cells))} |", flush=True)
    return j, mean


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--model", default="mobile-sam")
    parser.add_argument("--long-side", default="768,512")
    parser.add_argument("--interval", type=int, default=1)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--frames", type=int, help="Most frames of each video.")
    parser.add_argument("--click", action="store_true")
    parser.add_argument("--output", type=Path, help="JSON file for the means.")
    arguments = parser.parse_args()
    prompt = click_prompt if arguments.click else box_prompt
    clips = open_dataset(arguments.dataset, layout="auto", split=None, limit=None).clips
    predictor = edge_sam.load(
        arguments.model, runtime=arguments.runtime, precision=arguments.precision, threads=arguments.threads
    )
    print(f"{predictor.runtime}, {predictor.precision}")
    print("| video | long side | J | frames/s | ms p50 / p95 | frames lost | re-used | stages, median ms |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    means = {}
    for long_side in map(int, arguments.long_side.split(",")):
        rows = [track(predictor, long_side, clip, arguments.frames, arguments.interval, prompt) for clip in clips]
        j, mean = np.mean(rows, axis=0)
        print(f"| mean | {long_side} | {j:.3f} | {1000 / mean:.1f} | | | | |")
        means[long_side] = {"j": j, "frames_per_second": 1000 / mean}
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(means))


if __name__ == "__main__":
    main()
