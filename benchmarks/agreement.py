"""Agreement with MobileSAM's own torch predictor, and accuracy against ground truth.

    python benchmarks/agreement.py CHECKPOINT BUNDLE --stills DIR --grabcut DIR [--json FILE]

Each folder holds ``images`` and ``masks`` (255 object, 128 ignore, 0 background) of the same stem. Prompts for each
photograph: the most interior pixel of the ground truth (three masks) and its tight box (one mask).
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from upstream import load_predictor

import edge_sam
from edge_sam.images import read_image

Masks = NDArray[np.bool_]


def iou(a: Masks, b: Masks, valid: Masks | None = None) -> float:
    """IoU of two masks over the valid pixels; 1 where both are empty."""
    if valid is not None:
        a, b = a & valid, b & valid
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def interior_point(truth: Masks) -> tuple[int, int]:
    """XY of the pixel farthest from the object's edge."""
    distance = cv2.distanceTransform(np.pad(truth, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    _, _, _, (x, y) = cv2.minMaxLoc(distance)
    return x - 1, y - 1


def tight_box(truth: Masks) -> tuple[int, int, int, int]:
    """XYXY of the object."""
    y, x = np.nonzero(truth)
    return int(x.min()), int(y.min()), int(x.max()), int(y.max())


def compare(reference: Any, variants: dict[str, Any], folder: Path, scores: dict[str, list[float]]) -> None:
    """Add to `scores` for every photograph of a folder."""
    for path in sorted((folder / "images").iterdir()):
        image = read_image(path)
        labels = read_image(folder / "masks" / f"{path.stem}.png")[..., 0]
        truth, valid = np.asarray(labels == 255), np.asarray(labels != 128)
        point, box = interior_point(truth), tight_box(truth)
        reference.set_image(image)
        points_masks, points_scores, _ = reference.predict(np.array([point]), np.array([1]))
        box_masks, _, _ = reference.predict(box=np.array(box), multimask_output=False)
        order = np.argsort(-points_scores, kind="stable")
        masks = np.concatenate([points_masks[order], box_masks])
        _score("torch", masks, truth, valid, scores)
        for name, (predictor, options) in variants.items():
            embedding = predictor.encode(image, **options)
            by_point = predictor.predict(embedding, edge_sam.Prompt(points=[point]))
            by_box = predictor.predict(embedding, edge_sam.Prompt(box=box), multimask=False)
            ours = np.concatenate([by_point.masks, by_box.masks])
            _score(name, ours, truth, valid, scores)
            # Rank can flip where two predicted IoUs are equal to the last digit, so compare like with like.
            scores[f"{name}: agreement"] += [max(iou(mask, m) for m in masks[:3]) for mask in ours[:3]]
            scores[f"{name}: agreement"].append(iou(ours[3], masks[3]))
        print(".", end="", flush=True)
    print()


def _score(name: str, masks: Masks, truth: Masks, valid: Masks, scores: dict[str, list[float]]) -> None:
    each = [iou(mask, truth, valid) for mask in masks]
    scores[f"{name}: point"].append(each[0])
    scores[f"{name}: oracle"].append(max(each[:3]))
    scores[f"{name}: box"].append(each[3])


def main() -> None:
    """Run the comparison and print mean and worst of every score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--stills", type=Path, required=True)
    parser.add_argument("--grabcut", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    fp32 = edge_sam.load(arguments.bundle, precision="fp32")
    w16 = edge_sam.load(arguments.bundle, precision="w16")
    variants = {
        "fp32 square": (fp32, {"square": True}),
        "w16 square": (w16, {"square": True}),
        "fp32": (fp32, {}),
        "w16": (w16, {}),
        "w16 768": (w16, {"long_side": 768}),
        "w16 512": (w16, {"long_side": 512}),
    }
    reference = load_predictor(arguments.checkpoint)
    report: dict[str, dict[str, dict[str, float]]] = {}
    for folder in (arguments.stills, arguments.grabcut):
        scores: dict[str, list[float]] = defaultdict(list)
        compare(reference, variants, folder, scores)
        report[folder.name] = {
            name: {"mean": float(np.mean(values)), "worst": float(np.min(values))} for name, values in scores.items()
        }
        for name, row in report[folder.name].items():
            print(f"{folder.name:10s} {name:24s} mean {row['mean']:.4f}  worst {row['worst']:.4f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
