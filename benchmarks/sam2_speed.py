"""SAM 2's image path beside another export in plain ONNX Runtime, in turns.

    python benchmarks/sam2_speed.py ENCODER DECODER [--model sam2-tiny] [--rounds 7] [--threads 2]

ENCODER and DECODER are another export of SAM 2 (`image` to `image_embed`, `high_res_feats_0` and `high_res_feats_1`),
such as the files that `edge-sam pull sam2-tiny` takes from npm. Times are medians of: encoding a 16:9 image that is
already scaled, and one click. Sessions are made once; threads do not spin while another contender runs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime as ort

import edge_sam
from edge_sam.runtimes import why_unusable
from edge_sam.system.timing import elapsed_ms

SIZE = (720, 1280)
"""(height, width) of the image."""
CLICK = edge_sam.Prompt(points=[(640.0, 360.0)])
LONG_SIDES = (1024, 768)
REST = 0.05
"""Seconds between two runs, in which the threads of the first come to rest."""


def other(encoder: Path, decoder: Path, threads: int) -> dict[str, Callable[[], object]]:
    """Return the runs of the other export."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    first, second = (
        ort.InferenceSession(path, options, providers=["CPUExecutionProvider"]) for path in (encoder, decoder)
    )
    image = np.random.default_rng(0).normal(size=(1, 3, 1024, 1024)).astype(np.float32)
    maps = dict(zip([output.name for output in first.get_outputs()], first.run(None, {"image": image}), strict=True))
    prompt = {
        "point_coords": np.array([[[512, 288]]], np.float32),
        "point_labels": np.ones((1, 1), np.float32),
        "mask_input": np.zeros((1, 1, 256, 256), np.float32),
        "has_mask_input": np.zeros(1, np.float32),
    }
    return {
        "other, encode": partial(first.run, None, {"image": image}),
        "other, click": partial(second.run, None, {**maps, **prompt}),
    }


def ours(model: str, runtime: str, threads: int) -> dict[str, Callable[[], object]]:
    """Return our runs in a runtime: the encoder alone, and `Predictor.answers` for a click."""
    predictor = edge_sam.load(model, runtime=runtime, threads=threads, strict=True)
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    runs: dict[str, Callable[[], object]] = {}
    for square in (True, False):
        for long_side in LONG_SIDES:
            predictor.warm_up(image, long_side=long_side, square=square)
            embedding = predictor.encode(image, long_side=long_side, square=square)
            rows, columns = embedding.geometry.input_size
            label = f"{model} {predictor.precision}, {runtime}, {columns}×{rows}"
            runs[f"{label}, encode"] = partial(predictor.encode, image, long_side=long_side, square=square)
            runs[f"{label}, click"] = partial(_click, predictor, embedding)
    return runs


def _click(predictor: edge_sam.Predictor, embedding: edge_sam.ImageEmbedding) -> None:
    for _ in predictor.answers(embedding, [CLICK]):
        pass


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoder", type=Path)
    parser.add_argument("decoder", type=Path)
    parser.add_argument("--model", default="sam2-tiny")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    runs = other(arguments.encoder, arguments.decoder, arguments.threads)
    for runtime in ("onnxruntime", "openvino"):
        if why_unusable(runtime) is None:
            runs |= ours(arguments.model, runtime, arguments.threads)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(arguments.rounds):
        for name, run in runs.items():
            time.sleep(REST)
            start = time.perf_counter()
            run()
            times[name].append(elapsed_ms(start))
    print("| run | ms, median | times as fast |")
    print("| --- | --- | --- |")
    for name, taken in times.items():
        base = np.median(times[f"other, {name.rsplit(', ', 1)[1]}"])
        print(f"| {name} | {np.median(taken):.0f} | {base / np.median(taken):.2f} |")


if __name__ == "__main__":
    main()
