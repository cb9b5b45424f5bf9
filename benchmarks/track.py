"""Following objects through videos: frames per second of the tracker alone, stage by stage, and J beside them.

    python benchmarks/track.py FOLDER [--model mobile-sam] [--long-side 768,512] [--interval 1] [--frames N]

FOLDER holds videos with masks in a layout that `edge-sam eval` knows. The true box of the first frame is the only
prompt, every frame is processed, and J leaves the first and the last frame out, as DAVIS does. Frames are read and
scored between the steps and not timed. A frame that re-uses the embedding would be cheap and is counted. With
--interval N every N-th frame is encoded, and masks are carried by optical flow in between.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from itertools import islice
from pathlib import Path

import numpy as np

import edge_sam
from edge_sam.evaluation.datasets import open_dataset
from edge_sam.evaluation.protocols import box_prompt
from edge_sam.evaluation.samples import Clip
from edge_sam.imaging.masks import iou
from edge_sam.tracking import Tracker


def follow(
    predictor: edge_sam.Predictor, long_side: int, clip: Clip, frames: int | None, interval: int
) -> tuple[float, float]:
    """J and seconds a frame of one video, printed as a row of the table."""
    tracker = Tracker(predictor, long_side=long_side)
    ious, seconds, lost, reused = [], [], 0, 0
    stages: dict[str, list[float]] = defaultdict(list)
    for index, sample in enumerate(islice(clip.frames, frames)):
        image, targets = sample.load()
        start = time.perf_counter()
        if index == 0:
            tracked = tracker.start(image, [box_prompt(target.truth) for target in targets])
        else:
            tracked = tracker.step(image, encode=index % interval == 0)
            seconds.append(time.perf_counter() - start)
            for stage, spent in tracker.timings.items():
                stages[stage].append(spent)
        reused += "reused" in tracker.timings
        lost += any(item.state == "lost" for item in tracked)
        pairs = zip(tracked, targets, strict=True)
        ious.append(np.mean([iou(item.mask, target.truth, target.valid) for item, target in pairs]))
    j, second = float(np.mean(ious[1:-1])), float(np.mean(seconds))
    split = ", ".join(f"{stage} {np.median(spent):.0f}" for stage, spent in stages.items())
    p50, p95 = np.percentile(seconds, (50, 95)) * 1000
    cells = (clip.name, long_side, f"{j:.3f}", f"{1 / second:.1f}", f"{p50:.0f} / {p95:.0f}", lost, reused, split)
    print(f"| {' | '.join(map(str, cells))} |", flush=True)
    return j, second


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--model", default="mobile-sam")
    parser.add_argument("--long-side", default="768,512")
    parser.add_argument("--interval", type=int, default=1)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--frames", type=int, help="At most so many of each video.")
    arguments = parser.parse_args()
    clips = open_dataset(arguments.dataset, layout="auto", split=None, limit=None).clips
    predictor = edge_sam.load(arguments.model, threads=arguments.threads)
    print(f"{predictor.runtime}, {predictor.precision}")
    print("| video | long side | J | frames/s | ms p50 / p95 | frames lost | re-used | stages, median ms |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for long_side in map(int, arguments.long_side.split(",")):
        rows = [follow(predictor, long_side, clip, arguments.frames, arguments.interval) for clip in clips]
        j, second = np.mean(rows, axis=0)
        print(f"| mean | {long_side} | {j:.3f} | {1 / second:.1f} | | | | |")


if __name__ == "__main__":
    main()
