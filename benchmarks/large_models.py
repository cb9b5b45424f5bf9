"""Export and quantise SAM's ViT in full size with random weights, and say what each step takes.

    python benchmarks/large_models.py sam-h --folder FOLDER [--photograph FILE] [--steps weights,fp32,w16,int8,explain]

Each step runs in a process of its own, and leaves its result in FOLDER (up to 8 GB for ViT-H) for the next ones. It
needs `segment-anything`, installed without dependencies.

Weights have their full size. Photographs do not, because memory beyond the weights is what is asked here: encoders see
no more than `--long-side` pixels, in checks, calibration and comparison alike. Random weights say nothing of accuracy,
so the gate lets every loss pass, and objects need no confidence.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import itertools
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from edge_sam import Predictor
from edge_sam.bundles.bundle import open_bundle
from edge_sam.export import onnx_writer, parity
from edge_sam.export.bundle_writer import export_bundle
from edge_sam.export.reference import install_stubs
from edge_sam.export.vit import ViT
from edge_sam.imaging.view import TOKEN
from edge_sam.quantize import qdq, reference_masks, rounding
from edge_sam.quantize.quantizer import quantize_bundle
from edge_sam.quantize.settings import QuantizeSettings

STEPS = ("weights", "fp32", "w16", "int8")


def make_weights(model: str, folder: Path) -> None:
    """Save a checkpoint of the official shapes and names."""
    install_stubs()
    builders = importlib.import_module("segment_anything.build_sam").sam_model_registry
    with torch.device("meta"):
        official = builders[model.replace("sam-", "vit_")]().state_dict()
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for name, like in official.items():
        spread = 0.2 if like.dim() == 1 else like[0].numel() ** -0.5
        middle = 1.0 if like.dim() == 1 and name.endswith("weight") else 0.0
        tensors[name] = torch.empty(like.shape).normal_(middle, spread, generator=generator)
    torch.save(tensors, folder / "random.pth")


def export(folder: Path, precision: str) -> None:
    """Export the checkpoint in one precision."""
    export_bundle(folder / "random.pth", folder / precision, precisions=[precision], overwrite=True)


def quantize(folder: Path, source: str, photographs: Path, explain: bool) -> None:
    """Quantise one of the bundles."""
    settings = QuantizeSettings(calibration=photographs, max_drop=100)
    result = quantize_bundle(
        open_bundle(folder / source), folder / "int8", settings, silent, overwrite=True, explain=explain
    )
    for row in result.ranking:
        kind = "products" if row.computes else "storage"
        print(f"    {row.role:8s} {row.block:24s} {kind:9s} {row.cost:6.2f} {row.saved_ms or 0:8.2f}")


@contextlib.contextmanager
def silent(_what: str, _steps: int) -> Iterator[Callable[[], None]]:
    """Show no progress."""
    yield lambda: None


def show_little(side: int) -> None:
    """Let encoders see no more than so many pixels along a side, and the gate pass random weights."""
    whole, encode = ViT.forward, Predictor.encode

    def corner(self: ViT, image: Tensor) -> Tensor:
        if torch.onnx.is_in_onnx_export() or max(image.shape[2:]) <= side:
            return whole(self, image)
        rows, columns = (size // TOKEN for size in image.shape[2:])
        seen = whole(self, image[:, :, :side, :side])
        return F.pad(seen, (0, 0, 0, columns - seen.shape[2], 0, rows - seen.shape[1]))

    def small(self: Predictor, image: Any, **_view: Any) -> Any:
        return encode(self, image, long_side=side, square=False)

    patched: Any = ViT
    patched.forward = corner
    patched = Predictor
    patched.encode = small
    patched = parity
    patched._SIZES, patched._prompt_cases = ((side, side),), partial(few, parity._prompt_cases)
    onnx_writer._EXAMPLES.update(height=side, width=side)
    patched = reference_masks
    patched._SURE = -float("inf")


def few(cases: Callable[[tuple[int, int]], Iterator[Any]], frame: tuple[int, int]) -> Iterator[Any]:
    """Return the first prompts: all have the same decoder, which other checks prove."""
    return itertools.islice(cases(frame), 2)


def round_plainly(first: int) -> None:
    """Round the weights of all products but the first ones to the nearest integer."""
    exactly, seen = rounding.round_weights, itertools.count()

    def quickly(weight: NDArray[np.float32], scale: NDArray[np.float32], gram: Any, *, pairs: bool) -> Any:
        if next(seen) < first:
            return exactly(weight, scale, gram, pairs=pairs)
        return np.clip(np.rint(weight / scale), -rounding.LIMIT, rounding.LIMIT).astype(np.int8)

    patched: Any = qdq
    patched.round_weights = quickly


def run(step: str, given: argparse.Namespace) -> None:
    """Run one step in this process, and print its time and the most memory that it held."""
    start = time.perf_counter()
    show_little(given.long_side)
    if given.products is not None:
        round_plainly(given.products)
    actions: dict[str, Callable[[], None]] = {
        "weights": partial(make_weights, given.model, given.folder),
        "fp32": partial(export, given.folder, "fp32"),
        "w16": partial(export, given.folder, "w16"),
        "int8": partial(quantize, given.folder, given.source, given.folder / "photographs", given.explain),
    }
    actions[step]()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    made = sorted((given.folder / step).glob("*.onnx*")) if step != "weights" else [given.folder / "random.pth"]
    sizes = ", ".join(f"{file.name} {file.stat().st_size / 1e6:.1f} MB" for file in made)
    print(f"  {step:8s} {time.perf_counter() - start:6.0f} s   peak memory {peak:.1f} GB")
    print(f"           {sizes}", flush=True)


def main() -> None:
    """Run the steps that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=("sam-b", "sam-l", "sam-h"))
    parser.add_argument("--folder", type=Path, required=True, help="for the weights and the bundles")
    parser.add_argument("--photographs", type=Path, default=Path("examples/photographs"), metavar="FOLDER")
    parser.add_argument("--count", type=int, default=2, help="photographs to calibrate with")
    parser.add_argument("--steps", default=",".join(STEPS))
    parser.add_argument("--source", default="fp32", help="bundle to quantise: fp32 or w16")
    parser.add_argument("--explain", action="store_true", help="rank the blocks too")
    parser.add_argument("--products", type=int, metavar="N", help="compensate rounding in the first N only: faster")
    parser.add_argument("--long-side", type=int, default=256)
    parser.add_argument("--here", action="store_true", help="run the step in this process")
    given = parser.parse_args()
    (given.folder / "photographs").mkdir(parents=True, exist_ok=True)
    for file in sorted(given.photographs.glob("*.png"))[: given.count]:
        shutil.copy(file, given.folder / "photographs")
    for step in given.steps.split(","):
        if given.here:
            run(step, given)
        else:
            subprocess.run([sys.executable, *sys.argv, "--steps", step, "--here"], check=True)


if __name__ == "__main__":
    main()
