"""Masks of samexporter's own inference classes: python with_samexporter.py LAYOUT ENCODER DECODER CASES OUTPUT."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np


def main(layout: str, encoder: str, decoder: str, cases: str, output: str) -> None:
    """Write one mask for each case, as the class returns it first."""
    if layout == "sam":
        from samexporter.sam_onnx import SegmentAnythingONNX as Model
    else:
        from samexporter.sam2_onnx import SegmentAnything2ONNX as Model
    model = Model(encoder, decoder, providers=["CPUExecutionProvider"])
    for i, case in enumerate(json.loads(Path(cases).read_text())):
        embedding = model.encode(cv2.imread(case["image"]))
        marks = [
            {"type": "point", "data": point, "label": label}
            for point, label in zip(case["points"], case["labels"], strict=True)
        ]
        marks += [{"type": "rectangle", "data": case["box"]}] if case["box"] else []
        np.save(f"{output}/{i}.npy", model.predict_masks(embedding, marks)[0][0] > 0)


main(*sys.argv[1:])
