"""Open our files in the programs that read them, and compare their masks with ours.

    python benchmarks/layouts.py OUTPUT --at samexporter=FOLDER --at transformers=FOLDER …

Each program is one that `pip install --no-deps --target FOLDER` or `npm install` in a folder put there. One that is not
given is left out; `--opencv` adds that of this environment. `OUTPUT` keeps the exported files and the masks: what is
there is not made again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import edge_sam
from edge_sam.bundles.bundle import open_bundle
from edge_sam.export.layouts.writer import write_layout
from edge_sam.imaging.images import read_image
from edge_sam.imaging.masks import iou

SCRIPTS = Path(__file__).parent / "consumers"
PHOTOGRAPHS = SCRIPTS.parent.parent / "examples" / "photographs"
PROMPTS: list[tuple[str, list[tuple[int, int]], tuple[int, int, int, int] | None]] = [
    ("coffee.png", [], (76, 18, 478, 390)),
    ("coffee.png", [(250, 120)], None),
    ("coffee.png", [(250, 120), (200, 300)], None),
    ("astronaut.png", [(220, 100)], None),
    ("astronaut.png", [], (150, 30, 300, 230)),
    ("rocket.jpg", [(320, 200)], None),
    ("chelsea.png", [(200, 150)], None),
]
"""Photograph, points on the object, box."""
PROGRAMS = {
    "samexporter": ("with_samexporter.py", {"sam": "0-255", "sam2": "normalised"}),
    "samexporter, normalised": ("with_samexporter.py", {"sam": "normalised"}),
    "osam": ("with_osam.py", {"sam": "normalised"}),
    "x-anylabeling": ("with_x_anylabeling.py", {"sam": "0-255", "sam2": "normalised"}),
    "opencv": ("with_opencv.py", {"sam": "normalised"}),
    "transformers": ("with_transformers.mjs", {"sam": "hf", "sam2": "hf"}),
    "onnxruntime-web": ("with_browser.py", {"sam": "0-255"}),
}
"""Script of each program, and for each family what it reads: the encoder's values, or the layout hf."""
MODELS = {"sam": "mobile-sam", "sam2": "sam2-tiny"}


def exported(output: Path, family: str, reads: str) -> Path:
    """Return the folder of a model's files, made if need be."""
    folder = output / f"{MODELS[family]}-{reads}"
    if not folder.exists():
        layout, values = ("hf", None) if reads == "hf" else (family, reads)
        write_layout(open_bundle(MODELS[family]), folder, layout, values=values)  # type: ignore[arg-type]
    return folder


def run(program: str, family: str, folder: Path, at: Path | None, cases: Path, masks: Path) -> None:
    """Let a program write its masks."""
    script = SCRIPTS / PROGRAMS[program][0]
    name = MODELS[family]
    files = [str((folder / f"{name}.{part}.onnx").resolve()) for part in ("encoder", "decoder")]
    if script.suffix == ".mjs":
        files = [str(folder.resolve()), "-"]
    elif program == "x-anylabeling":
        files = [str((folder / f"{name}.yaml").resolve()), "-"]
    masks.mkdir(parents=True, exist_ok=True)
    command = "node" if script.suffix == ".mjs" else sys.executable
    environment = {**os.environ, "HOME": str(masks.resolve()), **({"PYTHONPATH": str(at)} if at else {})}
    arguments = [command, str(script), family, *files, str(cases.resolve()), str(masks.resolve())]
    subprocess.run(arguments, cwd=at, env=environment, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Print the IoU of each program's masks with ours."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--opencv", action="store_true")
    parser.add_argument("--at", action="append", default=[], metavar="PROGRAM=FOLDER")
    given = parser.parse_args()
    places: dict[str, Path | None] = {"opencv": None} if given.opencv else {}
    places |= {name: Path(folder).resolve() for name, folder in (each.split("=", 1) for each in given.at)}
    given.output.mkdir(parents=True, exist_ok=True)
    cases = given.output / "cases.json"
    cases.write_text(
        json.dumps(
            [
                {"image": str(PHOTOGRAPHS / file), "points": points, "labels": [1] * len(points), "box": box}
                for file, points, box in PROMPTS
            ]
        )
    )
    ours: dict[tuple[str, str], list[tuple[np.ndarray[Any, Any], int]]] = {}
    for program, (_, families) in PROGRAMS.items():
        if program.split(",")[0] not in places:
            continue
        for family, reads in families.items():
            folder = exported(given.output, family, reads)
            masks = given.output / "masks" / f"{program.replace(', ', '-')}-{family}"
            if not masks.exists() or not any(masks.glob(f"{len(PROMPTS) - 1}.*")):
                run(program, family, folder, places[program.split(",")[0]], cases, masks)
            key = (family, reads)
            if key not in ours:
                ours[key] = our_masks(*key)
            found = [iou(read_mask(masks, i, mask.shape, best), mask) for i, (mask, best) in enumerate(ours[key])]
            print(f"{program:24s} {family:5s} {' '.join(f'{each:.3f}' for each in found)}", flush=True)


def our_masks(family: str, reads: str) -> list[tuple[np.ndarray[Any, Any], int]]:
    """Return our mask for each prompt, and its place among the decoder's three for the layout hf, else 0."""
    predictor = edge_sam.load(MODELS[family], runtime="onnxruntime")
    masks = []
    for file, points, box in PROMPTS:
        embedding = predictor.encode(read_image(PHOTOGRAPHS / file), square=reads != "0-255")
        prompt = edge_sam.Prompt(points=points or None, box=box)
        if reads == "hf":
            (answer,) = predictor.answers(embedding, [prompt])
            best = int(answer.scores[1:].argmax())
            masks.append((embedding.geometry.upsample(answer.logits[1 + best]) > 0, best))
            continue
        prefer: Any = "auto" if family == "sam" else "best"
        masks.append((predictor.predict(embedding, prompt, multimask=False, prefer=prefer).masks[0], 0))
    return masks


def read_mask(folder: Path, number: int, shape: tuple[int, ...], best: int) -> np.ndarray[Any, Any]:
    """Read the mask that a program wrote, or the one at a place of the three that it wrote."""
    raw = folder / f"{number}.raw"
    if raw.exists():
        return np.asarray(np.fromfile(raw, np.uint8).reshape(-1, *shape)[best] > 0)
    return np.asarray(np.load(folder / f"{number}.npy"))


if __name__ == "__main__":
    main()
