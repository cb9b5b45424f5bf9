"""The choice of one of the decoder's masks: mIoU × 100 of each rule, by kind of prompt.

    python benchmarks/one_click.py DATASET [DATASET ...] [--micrographs] [--limit N]

DATASET is any dataset that `edge-sam eval` reads. --micrographs adds four drawn pictures of cells, crowded or apart,
light or dark, for which the small mask is right. docs/lab/one-click.md has the tables and the conclusions.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import edge_sam
from edge_sam import Prompt
from edge_sam.evaluation.clicks import next_click, random_interior
from edge_sam.evaluation.datasets import open_dataset
from edge_sam.evaluation.protocols import box_prompt
from edge_sam.evaluation.samples import Target
from edge_sam.imaging.geometry import Geometry
from edge_sam.imaging.masks import iou, most_interior
from edge_sam.preference import Bounds
from edge_sam.result import Answer

Rule = Callable[[Answer, Geometry, Prompt], int]
SIDE = 512


def largest(margin: float, *, area: float = 0.0, outline: float = 1.0) -> Rule:
    """Return a rule: the largest mask within a margin of the best predicted IoU, with bounds on area and outline."""
    bounds = Bounds(margin, area, outline)
    return lambda answer, geometry, prompt: answer.choose(geometry, prompt, "object", bounds)


RULES: dict[str, Rule] = {
    "auto": lambda answer, geometry, prompt: answer.choose(geometry, prompt, "auto"),
    "single": lambda answer, geometry, prompt: answer.choose(geometry, prompt, "single"),
    "best": lambda answer, geometry, prompt: answer.choose(geometry, prompt, "best"),
    "margin 0.05": largest(0.05),
    "margin 0.15": largest(0.15),
    "0.05, area": largest(0.05, area=0.01),
    "0.05, outline": largest(0.05, outline=0.2),
    "0.05, both": largest(0.05, area=0.01, outline=0.2),
    "0.06, both": largest(0.06, area=0.01, outline=0.2),
    "0.10, both": largest(0.10, area=0.01, outline=0.2),
}


def prompts(target: Target, first: Callable[[Prompt], Answer], geometry: Geometry) -> Iterator[tuple[str, Prompt]]:
    """Yield all kinds of prompts for an object. `first` answers the click that later prompts refine."""
    truth = target.truth
    click, other = most_interior(truth), random_interior(truth)
    clicked = Prompt(points=[click])
    answer = first(clicked)
    best = answer.choose(geometry, clicked, "best")
    yield "click", clicked
    yield "click-random", Prompt(points=[other])
    yield "two points", Prompt(points=[click, other])
    yield "box", box_prompt(truth)
    yield "box and point", Prompt(points=[click], box=box_prompt(truth).box)
    yield "mask alone", Prompt(mask=answer.logits[best])
    error = next_click(geometry.upsample(answer.logits[best]) > 0, truth, target.valid, [click])
    if error is not None:
        points, labels = [click, error[0]], [1, error[1]]
        yield "second click", Prompt(points=points, labels=labels)
        yield "second click and mask", Prompt(points=points, labels=labels, mask=answer.logits[best])


def measure(predictor: edge_sam.Predictor, folder: Path, limit: int | None) -> None:
    """Print the table of a dataset."""
    scores: dict[str, list[list[float]]] = defaultdict(list)
    for sample in open_dataset(folder, limit=limit).samples:
        image, targets = sample.load()
        embedding = predictor.encode(image)
        geometry = embedding.geometry

        def first(prompt: Prompt, embedding: edge_sam.ImageEmbedding = embedding) -> Answer:
            return next(iter(predictor.answers(embedding, [prompt])))

        for target in targets:
            if not target.truth.any():
                continue
            for kind, prompt in prompts(target, first, geometry):
                answer = first(prompt)
                ious = [iou(geometry.upsample(plane) > 0, target.truth, target.valid) for plane in answer.logits]
                chosen = [ious[rule(answer, geometry, prompt)] for rule in RULES.values()]
                scores[kind].append([*chosen, max(ious[1:])])
    print(f"\n{folder.name}\n\n| prompt | objects | {' | '.join(RULES)} | best of three |")
    print(f"| --- | --- |{' --- |' * (len(RULES) + 1)}")
    for kind, rows in scores.items():
        means = " | ".join(f"{100 * mean:.1f}" for mean in np.mean(rows, axis=0))
        print(f"| {kind} | {len(rows)} | {means} |", flush=True)


def draw_cells(
    rng: np.random.Generator, count: int, radius: float, *, clumps: bool
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Draw ellipses with some texture: brightness and labels, (SIDE, SIDE)."""
    picture, labels = np.zeros((SIDE, SIDE), np.float32), np.zeros((SIDE, SIDE), np.uint8)
    centres = rng.uniform(radius, SIDE - radius, (6, 2))
    label = 0
    for _ in range(4 * count):
        near = (
            centres[rng.integers(6)] + rng.normal(0, SIDE / 8, 2) if clumps else rng.uniform(radius, SIDE - radius, 2)
        )
        axes = (radius * rng.uniform(0.7, 1.3, 2)).astype(int).tolist()
        shape = cv2.ellipse(np.zeros_like(labels), near.astype(int).tolist(), axes, rng.uniform(0, 180), 0, 360, 1, -1)
        inside = shape > 0
        if np.count_nonzero(inside) < 40 or (labels[inside] > 0).mean() > 0.05 or label == min(count, 255):
            continue
        label += 1
        texture = cv2.GaussianBlur(rng.normal(0, 60, labels.shape).astype(np.float32), (0, 0), 2.5)
        inside &= labels == 0
        labels[inside] = label
        picture[inside] = rng.uniform(60, 190) + texture[inside]
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.5), np.float32), labels


def write_micrographs(folder: Path) -> Path:
    """Write four pictures of cells in the layout of VOC."""
    rng = np.random.default_rng(0)
    for name in ("JPEGImages", "SegmentationObject"):
        (folder / name).mkdir(parents=True)
    for index, (count, radius, clumps, dark) in enumerate(
        ((60, 12, False, False), (60, 15, True, False), (40, 24, False, False), (60, 12, False, True))
    ):
        picture, labels = draw_cells(rng, count, radius, clumps=clumps)
        picture = np.clip(picture + rng.normal(20, 6, picture.shape), 0, 255)
        cv2.imwrite(str(folder / f"JPEGImages/{index}.png"), (255 - picture if dark else picture).astype(np.uint8))
        cv2.imwrite(str(folder / f"SegmentationObject/{index}.png"), labels)
    return folder


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, nargs="*")
    parser.add_argument("--micrographs", action="store_true", help="Add drawn pictures of cells.")
    parser.add_argument("--limit", type=int, help="Most photographs of each dataset.")
    parser.add_argument("--model", default="mobile-sam")
    parser.add_argument("--runtime", default="auto")
    arguments = parser.parse_args()
    predictor = edge_sam.load(arguments.model, runtime=arguments.runtime)
    for folder in arguments.dataset:
        measure(predictor, folder, arguments.limit)
    if arguments.micrographs:
        with tempfile.TemporaryDirectory() as home:
            measure(predictor, write_micrographs(Path(home) / "micrographs"), arguments.limit)


if __name__ == "__main__":
    main()
