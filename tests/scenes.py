"""Small datasets in every layout, made from the project's photograph of a cup."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from conftest import PHOTOGRAPHS
from PIL import Image
from pycocotools import mask as coco

COFFEE = PHOTOGRAPHS / "coffee.png"
SIZE = (400, 600)
"""(height, width) of the photograph."""
PALETTE = [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0] + [0] * (3 * 251) + [224, 224, 192]


def disc(size: tuple[int, int], x: int, y: int, radius: int) -> np.ndarray:
    """A filled circle as a mask."""
    canvas = np.zeros(size, np.uint8)
    cv2.circle(canvas, (x, y), radius, 1, cv2.FILLED)
    return canvas.astype(bool)


CUP = disc(SIZE, 290, 115, 115)
"""Roughly the cup, with its inside."""
SPOON = disc(SIZE, 120, 250, 20)
"""A second, small object."""


def write_grey(path: Path, labels: np.ndarray) -> None:
    """Write a grey PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels.astype(np.uint8)).save(path)


def write_indexed(path: Path, labels: np.ndarray) -> None:
    """Write a PNG with a palette, as VOC and DAVIS have them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(labels.astype(np.uint8), mode="P")
    image.putpalette(PALETTE)
    image.save(path)


def photograph(path: Path) -> None:
    """Put the cup there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(COFFEE, path)


def folder(root: Path, count: int = 1) -> Path:
    """`images` and `masks`, with a ring of ignored pixels around the cup."""
    labels = np.where(CUP, 255, 0)
    labels[disc(SIZE, 290, 115, 120) & ~CUP] = 128
    for i in range(count):
        photograph(root / "images" / f"cup{i}.png")
        write_grey(root / "masks" / f"cup{i}.png", labels)
    return root


def voc(root: Path) -> Path:
    """Two objects with an ignored ring, one list, one photograph that is on no list."""
    labels = np.zeros(SIZE, np.uint8)
    labels[disc(SIZE, 290, 115, 120)] = 255
    labels[CUP], labels[SPOON] = 1, 2
    for name in ("a", "b"):
        photograph(root / "JPEGImages" / f"{name}.png")
        write_indexed(root / "SegmentationObject" / f"{name}.png", labels)
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("b\n")
    (lists / "train.txt").write_text("a\n")
    return root


def davis(root: Path, frames: int = 4) -> Path:
    """One video of two objects; the second is out of sight in the third frame."""
    for i in range(frames):
        labels = np.zeros(SIZE, np.uint8)
        labels[CUP] = 1
        if i != 2:
            labels[SPOON] = 2
        photograph(root / "JPEGImages" / "480p" / "cup" / f"{i:05d}.png")
        write_indexed(root / "Annotations" / "480p" / "cup" / f"{i:05d}.png", labels)
    (root / "ImageSets" / "2017").mkdir(parents=True)
    (root / "ImageSets" / "2017" / "val.txt").write_text("cup\n")
    return root


def polygon(mask: np.ndarray) -> list[float]:
    """The outline of a mask as COCO has it."""
    (outline,), _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return [float(value) for value in outline.reshape(-1)]


def uncompressed(mask: np.ndarray) -> dict[str, Any]:
    """Uncompressed RLE, which COCO uses for crowds."""
    flat = mask.reshape(-1, order="F").astype(np.int8)
    starts = np.flatnonzero(np.diff(flat, prepend=1 - flat[0]))
    counts = np.diff(starts, append=flat.size).tolist()
    return {"size": list(mask.shape), "counts": counts if not flat[0] else [0, *counts]}


def coco_instances(root: Path, **changes: Any) -> Path:
    """A polygon, an RLE, a crowd over part of the first one's surroundings and category."""
    photograph(root / "val2017" / "cup.png")
    rle = coco.encode(np.asfortranarray(SPOON.view(np.uint8)))
    crowd = disc(SIZE, 400, 115, 60)
    annotations = [
        {"id": 1, "image_id": 7, "category_id": 1, "segmentation": [polygon(CUP)], "iscrowd": 0},
        {
            "id": 2,
            "image_id": 7,
            "category_id": 2,
            "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()},
        },
        {"id": 3, "image_id": 7, "category_id": 1, "segmentation": uncompressed(crowd), "iscrowd": 1},
    ]
    document = {
        "images": [{"id": 7, "file_name": "cup.png", "height": SIZE[0], "width": SIZE[1]}],
        "annotations": annotations,
        "categories": [],
        **changes,
    }
    (root / "annotations").mkdir(parents=True)
    (root / "annotations" / "instances_val2017.json").write_text(json.dumps(document))
    return root
