"""Masks of OpenCV's dnn module: python with_opencv.py LAYOUT ENCODER DECODER CASES OUTPUT. Layout sam, normalised."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
SIDE = 1024


def main(_layout: str, encoder: str, decoder: str, cases: str, output: str) -> None:
    """Write one mask for each case."""
    encode, decode = (cv2.dnn.readNetFromONNX(file, cv2.dnn.ENGINE_NEW) for file in (encoder, decoder))
    for i, case in enumerate(json.loads(Path(cases).read_text())):
        image = Image.open(case["image"]).convert("RGB")
        width, height = image.size
        scale = SIDE / max(height, width)
        size = int(width * scale + 0.5), int(height * scale + 0.5)
        scaled = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
        frame = np.zeros((1, 3, SIDE, SIDE), np.float32)
        frame[0, :, : scaled.shape[0], : scaled.shape[1]] = ((scaled - MEAN) / STD).transpose(2, 0, 1)
        encode.setInput(frame)
        box = case["box"] or []
        points = [*case["points"], *([box[:2], box[2:]] if box else [[0, 0]])]
        labels = [*case["labels"], *([2, 3] if box else [-1])]
        inputs = {
            "image_embeddings": encode.forward(),
            "point_coords": np.array([points], np.float32) * np.array([size[0] / width, size[1] / height], np.float32),
            "point_labels": np.array([labels], np.float32),
            "mask_input": np.zeros((1, 1, 256, 256), np.float32),
            "has_mask_input": np.zeros(1, np.float32),
            "orig_im_size": np.array([height, width], np.float32),
        }
        for name, value in inputs.items():
            decode.setInput(value, name)
        np.save(f"{output}/{i}.npy", decode.forward("masks")[0, 0] > 0)


main(*sys.argv[1:])
