"""Whether a photograph gives the same bytes in another process, with other numbers of threads, in other runtimes.

    python benchmarks/determinism.py mobile-sam [BUNDLE ...] [--precision w16] [--long-side 512] [--threads 1,2,4]

Each line of the table is a process of its own. The columns compare it with the first line of its precision: ``same``
means the same bytes, a number is the largest difference relative to the largest value. ``again`` is the photograph's
fifth run in the process, and ``warm`` the one after `Predictor.warm_up`; both are compared with the first run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import edge_sam
from edge_sam.imaging.images import read_image
from edge_sam.imaging.masks import iou
from edge_sam.inference.run_options import RunOptions
from edge_sam.loading import load_with
from edge_sam.runtimes import why_unusable

PHOTOGRAPH = Path(__file__).parent.parent / "examples" / "photographs" / "coffee.png"
PROMPTS = [
    edge_sam.Prompt(box=(76, 18, 478, 390)),
    edge_sam.Prompt(points=[(300, 120)]),
    edge_sam.Prompt(points=[(300, 120), (20, 20)], labels=[1, 0], box=(76, 18, 478, 390)),
]
Arrays = dict[str, NDArray[np.generic]]
STAGES = ("embedding", "logits", "masks", "everything")


def computed(model: str, run: RunOptions, long_side: int, points: int) -> Arrays:
    """Compute everything that is compared, in this process."""
    predictor, image = load_with(model, run), read_image(PHOTOGRAPH)
    first = predictor.encode(image, long_side=long_side)
    results = predictor.predict(first, PROMPTS)
    drawn = predictor.predict(first, edge_sam.Prompt(mask=results[0].logits[0])) if _takes_masks(predictor) else None
    results += [drawn] if drawn else []
    generator = edge_sam.MaskGenerator(
        predictor, points_per_side=points, output_mode="coco_rle", long_side=long_side, pred_iou_thresh=0.5
    )
    found = json.dumps(generator.generate(image), sort_keys=True).encode()
    for _ in range(4):
        again = predictor.encode(image, long_side=long_side)
    predictor.warm_up(image, long_side=long_side)
    warm = predictor.encode(image, long_side=long_side)
    return {
        "embedding": np.concatenate([first.features.ravel(), *(each.ravel() for each in first.high_res.values())]),
        "logits": np.concatenate([result.logits for result in results]),
        "masks": np.concatenate([result.masks for result in results]),
        "everything": np.frombuffer(found, np.uint8),
        "again": again.features.ravel(),
        "warm": warm.features.ravel(),
        "first": first.features.ravel(),
    }


def _takes_masks(predictor: edge_sam.Predictor) -> bool:
    return predictor.bundle.contract.masks


def difference(ours: NDArray[np.generic], expected: NDArray[np.generic]) -> str:
    """Say in one word how two arrays differ."""
    if ours.tobytes() == expected.tobytes():
        return "same"
    if ours.dtype == np.uint8:
        ours_found, theirs = (json.loads(each.tobytes()) for each in (ours, expected))
        return f"{len(ours_found)} for {len(theirs)} masks"
    if ours.dtype == np.bool_:
        return f"IoU {min(iou(a, b) for a, b in zip(ours, expected, strict=True)):.5f}"
    first, second = ours.astype(np.float64), expected.astype(np.float64)
    return f"{np.abs(first - second).max() / np.abs(second).max():.0e}"


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--precision", action="append", help="default: w16")
    parser.add_argument("--runtime", action="append", help="default: onnxruntime and openvino")
    parser.add_argument("--threads", default="1,2,4")
    parser.add_argument("--long-side", type=int, default=512)
    parser.add_argument("--points-per-side", type=int, default=8)
    parser.add_argument("--save", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    runtimes = given.runtime or [name for name in ("onnxruntime", "openvino") if why_unusable(name) is None]
    threads = [int(count) for count in given.threads.split(",")]
    if given.save:
        run = RunOptions(runtime=runtimes[0], precision=given.precision[0], threads=threads[0], strict=True)
        np.savez(given.save, **computed(given.models[0], run, given.long_side, given.points_per_side))  # type: ignore[arg-type]
        return
    print("| model | precision | runtime | threads |", " | ".join((*STAGES, "again", "warm")), "|")
    print("| --- " * 10 + "|")
    for model, precision in product(given.models, given.precision or ["w16"]):
        expected: Arrays = {}
        for runtime, count in product(runtimes, [threads[0], *threads]):
            arrays = _in_process(model, precision, runtime, count, given)
            expected = expected or arrays
            cells = [difference(arrays[stage], expected[stage]) for stage in STAGES]
            cells += [difference(arrays[stage], arrays["first"]) for stage in ("again", "warm")]
            print(f"| {Path(model).name} | {precision} | {runtime} | {count} |", " | ".join(cells), "|", flush=True)


def _in_process(model: str, precision: str, runtime: str, threads: int, given: argparse.Namespace) -> Arrays:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "arrays.npz"
        command = [sys.executable, __file__, model, "--precision", precision, "--runtime", runtime]
        command += ["--threads", str(threads), "--save", str(file)]
        command += ["--long-side", str(given.long_side), "--points-per-side", str(given.points_per_side)]
        subprocess.run(command, check=True)
        with np.load(file) as arrays:
            return dict(arrays)


if __name__ == "__main__":
    main()
