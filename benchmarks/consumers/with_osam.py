"""Masks of osam, which labelme uses: python with_osam.py LAYOUT ENCODER DECODER CASES OUTPUT."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import osam
from osam import types
from osam._models.sam._models import Sam
from PIL import Image


def blob(file: str) -> types.Blob:
    """Lay a file where osam looks for its downloads."""
    digest = hashlib.sha256(Path(file).read_bytes()).hexdigest()
    made = types.Blob(url="http://localhost/none", hash=f"sha256:{digest}")
    Path(made.path).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, made.path)
    return made


def main(_layout: str, encoder: str, decoder: str, cases: str, output: str) -> None:
    """Write one mask for each case."""

    class Ours(Sam):  # type: ignore[misc]
        name = "edge-sam:latest"

    Ours._blobs = {"encoder": blob(encoder), "decoder": blob(decoder)}
    osam.apis.registered_model_types.append(Ours)
    for i, case in enumerate(json.loads(Path(cases).read_text())):
        image = np.asarray(Image.open(case["image"]).convert("RGB"))
        box = case["box"] or []
        points = np.array(case["points"] + ([box[:2], box[2:]] if box else []), np.float32)
        labels = np.array(case["labels"] + ([2, 3] if box else []), np.int32)
        prompt = types.Prompt(points=points, point_labels=labels)
        answer = osam.apis.generate(types.GenerateRequest(model=Ours.name, image=image, prompt=prompt))
        found = answer.annotations[0]
        mask = np.zeros(image.shape[:2], bool)
        place = found.bounding_box
        mask[place.ymin : place.ymax + 1, place.xmin : place.xmax + 1] = found.mask
        np.save(f"{output}/{i}.npy", mask)


main(*sys.argv[1:])
