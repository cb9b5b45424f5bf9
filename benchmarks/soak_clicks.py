"""Memory, descriptors, threads and answers over many clicks.

    python benchmarks/soak_clicks.py MINUTES [--long-side 512] [--runtime auto] [--seed 0]

The clicks fall at random places of the photographs in `examples/`: points, boxes, both, three prompts at once, and
corrections that go on from the mask before. A new photograph is encoded every 200 clicks. After each 20 the first
prompt is asked again about the first embedding, and must get the same bytes.

Exit code 1 means that an answer changed, that threads or descriptors became more, or that memory may grow by more than
5 MB per 100,000 clicks: the upper end of the 95 % interval counts.
"""

from __future__ import annotations

import argparse
import itertools
import random
import threading
import time
from pathlib import Path

import numpy as np
from memory_growth import growth, resident
from numpy.typing import NDArray

import edge_sam
from edge_sam.imaging.images import read_image

PHOTOGRAPHS = sorted((Path(__file__).parent.parent / "examples" / "photographs").glob("*.png"))
CLICKS, EVERY = 200, 20
"""Clicks on a photograph, and clicks between two samples of memory."""
MOST = 5.0
"""MB per 100,000 clicks."""


def click(
    predictor: edge_sam.Predictor, embedding: edge_sam.ImageEmbedding, size: tuple[int, int], dice: random.Random
) -> int:
    """Ask once, in one of five ways. Returns the number of prompts."""
    height, width = size

    def point() -> tuple[float, float]:
        return dice.uniform(0, width), dice.uniform(0, height)

    def box() -> tuple[float, float, float, float]:
        x, y = point()
        return x / 2, y / 2, x / 2 + width / 3, y / 2 + height / 3

    way = dice.randrange(5)
    if way == 0:
        predictor.predict(embedding, edge_sam.Prompt(points=[point()])).to_rle()
    elif way == 1:
        predictor.predict(embedding, edge_sam.Prompt(box=box()), multimask=False)
    elif way == 2:
        predictor.predict(embedding, edge_sam.Prompt(points=[point(), point()], labels=[1, 0], box=box()))
    elif way == 3:
        predictor.predict(embedding, [edge_sam.Prompt(points=[point()]) for _ in range(3)])
        return 3
    else:
        found = predictor.predict(embedding, edge_sam.Prompt(points=[point()]))
        predictor.predict(embedding, edge_sam.Prompt(points=[point()], mask=found.logits[0]), multimask=False)
        return 2
    return 1


def answer(predictor: edge_sam.Predictor, embedding: edge_sam.ImageEmbedding) -> NDArray[np.float32]:
    """Return the logits of the first prompt on the first embedding."""
    return predictor.predict(embedding, edge_sam.Prompt(points=[(100, 80)])).logits


def main() -> int:
    """Click until the time is over, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("minutes", type=float)
    parser.add_argument("--long-side", type=int, default=512)
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    predictor, dice = edge_sam.load(runtime=given.runtime), random.Random(given.seed)
    pictures = [read_image(path) for path in PHOTOGRAPHS]
    first = predictor.encode(pictures[0], long_side=given.long_side)
    expected, changed, clicks = answer(predictor, first), 0, 0
    steps: list[float] = []
    memory: list[float] = []
    held: list[tuple[int, int]] = []
    start = time.monotonic()
    end = start + 60 * given.minutes
    encodes = 0
    for picture in itertools.cycle(pictures):
        embedding = predictor.encode(picture, long_side=given.long_side)
        encodes += 1
        for _ in range(CLICKS // EVERY):
            begun = clicks
            while clicks - begun < EVERY:
                clicks += click(predictor, embedding, (picture.shape[0], picture.shape[1]), dice)
            changed += not np.array_equal(answer(predictor, first), expected)
            steps.append(clicks)
            memory.append(resident())
            held.append((sum(1 for _ in Path("/proc/self/fd").iterdir()), threading.active_count()))
        if time.monotonic() >= end:
            break
    grown, settled = growth(steps, memory), held[len(held) // 5]
    minutes = (time.monotonic() - start) / 60
    rate = clicks / (60 * minutes)
    print(
        f"{predictor.runtime} {predictor.precision} at {given.long_side}: {clicks} clicks in {minutes:.1f} min"
        f" ({rate:.0f} a second), {encodes} encodes; {changed} of {len(steps)} answers to the first prompt changed;"
        f" descriptors and threads {settled} to {held[-1]}"
    )
    hours = 1e6 / rate / 3600
    print(f"{grown}; 1,000,000 clicks at this rate: {hours:.1f} h, {10 * grown.low:+.1f} to {10 * grown.high:+.1f} MB")
    more = any(after > before for before, after in zip(settled, held[-1], strict=True))
    return int(changed > 0 or more or grown.high > MOST)


if __name__ == "__main__":
    raise SystemExit(main())
