"""A small OWL-style detector that the tests train, and export as OWLv2 is published.

It gives one box and one embedding for each token of the picture, to compare with the embedding of each phrase.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from text_scenes import PHRASES, Scene, draw_scene, fits
from text_tower import MEAN, STD, WIDTH, TextTower, first_layers, word_ids, write_tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 96
"""Side of the padded square in pixels."""
GRID = SIDE // 8
"""Tokens along a side."""


class Residual(nn.Module):
    """A 3x3 convolution and a pointwise one, added to what comes in."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.BatchNorm2d(WIDTH), nn.ReLU(), nn.Conv2d(WIDTH, WIDTH, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, WIDTH, H, W) to the same."""
        added: Tensor = x + self.layers(x)
        return added


class Detector(nn.Module):
    """OWL's heads on a small convolutional network; inputs and outputs are those of OWLv2's graph."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *first_layers(),
            Residual(),
            Residual(),
        )
        self.text = TextTower()
        self.head = nn.Linear(WIDTH, WIDTH)
        self.shift = nn.Linear(WIDTH, 1)
        self.boxes = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 4))
        centres = (torch.arange(GRID) + 0.5) / GRID
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        size = torch.full_like(x, 0.15)
        self.register_buffer("bias", torch.logit(torch.stack([x, y, size, size], -1).reshape(1, -1, 4)))

    def forward(self, input_ids: Tensor, pixel_values: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        """Return logits (1, tokens, T), boxes (1, tokens, 4) cxcywh, text and image embeddings."""
        texts = self.text(input_ids * attention_mask)
        tokens = self.trunk(pixel_values).flatten(2).transpose(1, 2)
        images = self.head(tokens)
        logits = images @ texts.T + self.shift(tokens)
        return logits, torch.sigmoid(self.boxes(tokens) + self.bias), texts[None], images


def padded_square(image: NDArray[np.uint8], side: int = SIDE) -> NDArray[np.float32]:
    """Normalised (3, side, side) of a picture in a grey square: written a second time on purpose."""
    height, width = image.shape[:2]
    longest = max(height, width)
    rows, columns = round(height * side / longest), round(width * side / longest)
    frame = np.full((side, side, 3), 0.5, np.float32)
    frame[:rows, :columns] = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return np.asarray(((frame - np.array(MEAN)) / np.array(STD)).transpose(2, 0, 1), np.float32)


def _targets(scene: Scene) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Labels (tokens, phrases), chances to be asked (tokens,) and boxes (tokens, 4) of a scene for the detector.

    Tokens near the middle of an object are right, those at its edge are often asked for what they are not, and those
    between are not asked.
    """
    longest = max(scene.image.shape[:2])
    labels = np.zeros((GRID, GRID, len(PHRASES)), np.float32)
    chances = np.full((GRID, GRID), 0.04, np.float32)
    boxes = np.zeros((GRID, GRID, 4), np.float32)
    y, x = (np.mgrid[:GRID, :GRID] + 0.5) / GRID
    for each in scene.objects:
        x0, y0, x1, y1 = (value / longest for value in each.box)
        middle, size = ((x0 + x1) / 2, (y0 + y1) / 2), (x1 - x0, y1 - y0)
        distance = np.hypot(x - middle[0], y - middle[1]) / (max(size) / 2)
        chances = np.where(distance < 1.6, np.where(distance < 0.75, 0, 0.4), chances).astype(np.float32)
    for each in scene.objects:
        x0, y0, x1, y1 = (value / longest for value in each.box)
        middle, size = ((x0 + x1) / 2, (y0 + y1) / 2), (x1 - x0, y1 - y0)
        right = np.hypot(x - middle[0], y - middle[1]) / (max(size) / 2) < 0.45
        right[int(middle[1] * GRID), int(middle[0] * GRID)] = True
        labels[right] = [fits(phrase, each.kind) for phrase in PHRASES]
        boxes[right] = *middle, *size
        chances[right] = 1
    return labels.reshape(-1, len(PHRASES)), chances.reshape(-1), boxes.reshape(-1, 4)


def _with_mirrored(pictures: Tensor, labels: Tensor, chances: Tensor, boxes: Tensor) -> tuple[Tensor, ...]:
    """Add every picture turned by transposition, which keeps the padded square's corner."""
    turned = [pictures.transpose(2, 3)]
    for each in (labels, chances, boxes):
        turned.append(each.reshape(len(each), GRID, GRID, -1).transpose(1, 2).reshape(each.shape))
    turned[3] = turned[3][..., [1, 0, 3, 2]]
    return tuple(torch.cat(each) for each in zip((pictures, labels, chances, boxes), turned, strict=True))


def train_detector(steps: int = 500, scenes: int = 900, batch: int = 32) -> Detector:
    """Train a detector on drawn scenes, always the same."""
    torch.manual_seed(0)
    random = np.random.default_rng(1)
    drawn = [draw_scene(random, scale=0.5, most=8) for _ in range(scenes)]
    pictures = torch.from_numpy(np.stack([padded_square(scene.image) for scene in drawn]))
    labels, chances, boxes = (torch.from_numpy(np.stack(part)) for part in zip(*map(_targets, drawn), strict=True))
    pictures, labels, chances, boxes = _with_mirrored(pictures, labels, chances, boxes)
    middles = labels.amax(-1) > 0
    model, ids = Detector(), torch.tensor([word_ids(phrase) for phrase in PHRASES])
    mask = (ids > 0).long()
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps, pct_start=0.2)
    for _ in range(steps):
        chosen = torch.from_numpy(random.integers(2 * scenes, size=batch))
        logits, found, _, _ = model(ids, pictures[chosen], mask)
        truth, inside = labels[chosen], middles[chosen]
        asked = torch.rand(inside.shape) < chances[chosen]
        classes = F.binary_cross_entropy_with_logits(logits[asked], truth[asked], reduction="none")
        distance = (found[inside] - boxes[chosen][inside]).abs().sum(-1).mean()
        loss = (classes * (1 + 2 * truth[asked])).mean() + distance
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def export_detector(model: Detector, folder: Path) -> None:
    """Write the detector as Hugging Face's exporters write OWLv2, with its side files."""
    ids = torch.tensor([word_ids(phrase) for phrase in PHRASES[:2]])
    torch.onnx.export(
        model,
        (ids, torch.zeros(1, 3, SIDE, SIDE), (ids > 0).long()),
        str(folder / "model.onnx"),
        dynamo=False,
        opset_version=17,
        input_names=["input_ids", "pixel_values", "attention_mask"],
        output_names=["logits", "pred_boxes", "text_embeds", "image_embeds"],
        dynamic_axes={
            "input_ids": {0: "text_batch_size"},
            "attention_mask": {0: "text_batch_size"},
            "logits": {2: "num_queries"},
            "text_embeds": {1: "text_batch_size"},
        },
    )
    write_tokenizer(folder)
    preprocessing = {
        "image_processor_type": "Owlv2ImageProcessor",
        "do_pad": True,
        "image_mean": MEAN,
        "image_std": STD,
        "rescale_factor": 1 / 255,
        "resample": 2,
        "size": {"height": SIDE, "width": SIDE},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    (folder / "config.json").write_text(json.dumps({"model_type": "owlv2"}))
