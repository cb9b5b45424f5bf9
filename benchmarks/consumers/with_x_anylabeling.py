"""Masks of X-AnyLabeling's model class, without a window: python with_x_anylabeling.py LAYOUT CONFIG _ CASES OUTPUT.

The class returns a polygon, which is filled here.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

os.environ["QT_QPA_PLATFORM"] = "offscreen"

import anylabeling.config
import cv2
import numpy as np
import yaml
from PyQt6.QtGui import QGuiApplication, QImage


def main(layout: str, config: str, _: str, cases: str, output: str) -> None:
    """Write one mask for each case."""
    application = QGuiApplication([])
    empty = Path(tempfile.mkdtemp()) / "empty.yaml"
    empty.write_text("{}\n")
    anylabeling.config.current_config_file = str(empty)
    if layout == "sam":
        from anylabeling.services.auto_labeling.segment_anything import SegmentAnything as Model
    else:
        from anylabeling.services.auto_labeling.segment_anything_2 import SegmentAnything2 as Model
    settings = {**yaml.safe_load(Path(config).read_text()), "config_file": config}  # As the program's window does.
    model = Model(settings, print)
    model.output_mode = "polygon"
    for i, case in enumerate(json.loads(Path(cases).read_text())):
        marks = [
            {"type": "point", "data": point, "label": label}
            for point, label in zip(case["points"], case["labels"], strict=True)
        ]
        marks += [{"type": "rectangle", "data": case["box"]}] if case["box"] else []
        model.set_auto_labeling_marks(marks)
        image = QImage(case["image"])
        shapes = model.predict_shapes(image, case["image"]).shapes
        mask = np.zeros((image.height(), image.width()), np.uint8)
        for shape in shapes:
            cv2.fillPoly(mask, [np.array([[p.x(), p.y()] for p in shape.points], np.int32)], 1)
        np.save(f"{output}/{i}.npy", mask.astype(bool))
    del application


main(*sys.argv[1:])
