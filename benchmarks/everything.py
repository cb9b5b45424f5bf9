"""Everything mode compared with MobileSAM's own generator in torch: speed, and how many of its masks are found.

    python benchmarks/everything.py CHECKPOINT PHOTOGRAPH... --output DIR [--masks DIR]

For each photograph, the reference generator (with its defaults: 32×32 points, 64 per batch), our adaptive mode and our
exhaustive mode run one after the other in this process. A reference mask counts as found if one of our masks has an IoU
of at least 0.9 with it. DIR gets one file per photograph. Photographs with an existing file are not measured again, and
the table covers all files. ``--masks`` keeps the reference's masks in a folder and reuses them, which saves minutes but
gives no time for the reference.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

import edge_sam
from edge_sam.everything import Found
from edge_sam.export.reference import load_generator
from edge_sam.imaging.images import read_image
from edge_sam.imaging.masks import overlaps

MODES = ("adaptive", "exhaustive")
FOUND = 0.9
"""Lowest IoU of a mask that counts as found."""


def reference(arguments: argparse.Namespace, photograph: Path) -> tuple[list[Any], float | None]:
    """Return the reference generator's masks as RLE, and its seconds. None if the masks were read from a file."""
    kept = arguments.masks / f"{photograph.stem}.json" if arguments.masks else None
    if kept is not None and kept.is_file():
        return [mask["segmentation"] for mask in json.loads(kept.read_text())["masks"]], None
    options = {"points_per_batch": arguments.points_per_batch, "output_mode": "coco_rle"}
    generator = load_generator(arguments.checkpoint, **options)
    image = read_image(photograph)
    start = time.perf_counter()
    masks = generator.generate(image)
    seconds = time.perf_counter() - start
    if kept is not None:
        kept.write_text(json.dumps({"masks": masks}))
    return [mask["segmentation"] for mask in masks], seconds


def measure(arguments: argparse.Namespace, predictor: edge_sam.Predictor, photograph: Path) -> dict[str, Any]:
    """Measure one photograph."""
    theirs, seconds = reference(arguments, photograph)
    row: dict[str, Any] = {"photograph": photograph.name, "masks": len(theirs), "seconds": seconds}
    image = read_image(photograph)
    for mode in MODES:
        generator = edge_sam.MaskGenerator(
            predictor, adaptive=mode == "adaptive", square=not arguments.no_square, output_mode="coco_rle"
        )
        steps: list[Found] = []
        start = time.perf_counter()
        masks = generator.generate(image, progress=steps.append)
        elapsed = time.perf_counter() - start
        ours = [mask["segmentation"] for mask in masks]
        overlap = overlaps(ours, theirs) >= FOUND
        row[mode] = {
            "masks": len(ours),
            "found": int(overlap.any(axis=0).sum()),
            "right": int(overlap.any(axis=1).sum()),
            "asked": steps[-1].asked,
            "seconds": elapsed,
        }
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """Format one line per photograph, and the totals. Ratios of times need a timed reference."""
    lines = ["| photograph | reference | adaptive: found, prompts | exhaustive: found | seconds | times faster |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for row in rows:
        quick, full = (row[mode] for mode in MODES)
        clock = f"{quick['seconds']:.1f} / {full['seconds']:.1f}"
        ratio = ""
        if row["seconds"]:
            clock = f"{row['seconds']:.1f} / {clock}"
            ratio = " / ".join(f"{row['seconds'] / row[mode]['seconds']:.1f}" for mode in MODES)
        lines.append(
            f"| {row['photograph']} | {row['masks']} | {quick['found']}, {quick['asked']} | {full['found']} |"
            f" {clock} | {ratio} |"
        )
    total = sum(row["masks"] for row in rows)
    for mode in MODES:
        found, right, ours = (sum(row[mode][key] for row in rows) for key in ("found", "right", "masks"))
        asked = np.mean([row[mode]["asked"] for row in rows])
        lines += [
            "",
            f"{mode}: {found} of {total} masks of the reference found ({found / total:.3f}); of ours {right} of {ours}"
            f" are among the reference's ({right / ours:.3f}); {asked:.0f} prompts a photograph.",
        ]
        timed = [row for row in rows if row["seconds"]]
        if timed:
            theirs, own = sum(row["seconds"] for row in timed), sum(row[mode]["seconds"] for row in timed)
            lines[-1] += f" {theirs / own:.1f} times faster ({len(timed)} photographs, {theirs:.0f} s to {own:.0f} s)."
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("photographs", type=Path, nargs="+")
    parser.add_argument("--output", type=Path, default=Path("build/bench/everything"))
    parser.add_argument("--masks", type=Path, help="Folder for the reference's masks.")
    parser.add_argument("--points-per-batch", type=int, default=64, help="Of the reference.")
    parser.add_argument(
        "--no-square", action="store_true", help="Encode only the photograph's own tokens in our modes."
    )
    parser.add_argument("--runtime", default="auto")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    predictor = edge_sam.load(runtime=arguments.runtime)
    for photograph in arguments.photographs:
        file = arguments.output / f"{photograph.stem}.json"
        if not file.is_file():
            file.write_text(json.dumps(measure(arguments, predictor, photograph)))
    print(table([json.loads(file.read_text()) for file in sorted(arguments.output.glob("*.json"))]))


if __name__ == "__main__":
    main()
