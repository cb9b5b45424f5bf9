"""A small image-text pair in the manner of CLIP that the tests train, and export as CLIP is published."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from text_scenes import PLAIN, Scene, draw_scene
from text_tower import LENGTH, MEAN, STD, WIDTH, TextTower, first_layers, word_ids, write_tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from edge_sam.text.crops import crop_object

CROP = 32
"""Side of the pictures in pixels."""
BEHIND = {
    "wall": ("a background", "a blurry background", "a photo of a background", "a texture of a background"),
    "part": ("a part", "a blurry part", "part of an object", "a photo of a part of something"),
    "other": ("object", "a photo of an object", "a blurry object", "an object of something"),
}
"""What a picture is that is none of `PLAIN`, with its texts. None is a text that edge_sam compares by default."""


class Vision(nn.Module):
    """A picture of one object to an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *first_layers(),
            nn.Flatten(),
            nn.Linear(WIDTH * (CROP // 8) ** 2, 2 * WIDTH),
            nn.GELU(),
            nn.Linear(2 * WIDTH, WIDTH),
        )

    def forward(self, pixel_values: Tensor) -> Tensor:
        """(N, 3, CROP, CROP) to (N, WIDTH)."""
        embedded: Tensor = self.layers(pixel_values)
        return embedded


class Pair(nn.Module):
    """CLIP's two towers; inputs and outputs are those of CLIP's graph."""

    def __init__(self) -> None:
        super().__init__()
        self.text, self.vision = TextTower(), Vision()

    def forward(self, input_ids: Tensor, pixel_values: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        """Return logits (pictures, texts) and their transpose, text and image embeddings."""
        texts = F.normalize(self.text(input_ids * attention_mask), dim=-1)
        images = F.normalize(self.vision(pixel_values), dim=-1)
        logits = 100 * images @ texts.T
        return logits, logits.T, texts, images


def _pieces(scene: Scene, random: np.random.Generator) -> list[tuple[NDArray[np.bool_], int]]:
    """Masks of a scene, each with the number of its text in `PLAIN`, or after them in `BEHIND`."""
    wall, part, _ = range(len(PLAIN), len(PLAIN) + len(BEHIND))
    taken = np.any([each.mask for each in scene.objects], axis=0)
    pieces = [(~taken, wall)]
    for each in scene.objects:
        pieces.append((each.mask, PLAIN.index(f"a {each.kind[1]} {each.kind[2]}")))
        x0, y0, x1, y1 = each.box
        half = np.zeros_like(each.mask)
        half[y0:y1, x0 : (x0 + x1) // 2] = True
        if random.integers(2):
            half[y0:y1, x0:x1] ^= True
        pieces.append((each.mask & half, part))
    height, width = taken.shape
    y, x = int(random.integers(height - 30)), int(random.integers(width - 30))
    square = np.zeros_like(taken)
    square[y : y + 30, x : x + 30] = True
    if (square & ~taken).any():
        pieces.append((square & ~taken, wall))
    return pieces


def train_pair(steps: int = 200, scenes: int = 160, batch: int = 96) -> Pair:
    """Train an image-text pair on objects of drawn scenes, always the same.

    Each picture is compared with half of the plain texts and with one text of each kind of background. It must be
    closest to its own text; if that is left out, to that of other things.
    """
    torch.manual_seed(0)
    random = np.random.default_rng(2)
    crops, labels = [], []
    for _ in range(scenes):
        scene = draw_scene(random, scale=0.5)
        for mask, label in _pieces(scene, random):
            crops.append(crop_object(scene.image, mask, CROP))
            labels.append(label)
    colours = np.stack(crops).astype(np.float32) / 255
    pictures = torch.from_numpy(
        ((colours - np.array(MEAN, np.float32)) / np.array(STD, np.float32)).transpose(0, 3, 1, 2).copy()
    )
    truth = torch.tensor(labels)
    behind = [phrase for phrases in BEHIND.values() for phrase in phrases]
    model, ids = Pair(), torch.tensor([word_ids(phrase) for phrase in (*PLAIN, *behind)])
    seen = (ids > 0).long()
    counts = torch.tensor([len(phrases) for phrases in BEHIND.values()])
    first = len(PLAIN) + counts.cumsum(0) - counts
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps, pct_start=0.2)
    for _ in range(steps):
        chosen = torch.from_numpy(random.integers(len(labels), size=batch))
        offered = first + (torch.rand(batch, len(counts)) * counts).long()
        absent = torch.rand(batch, len(ids)) < 0.5
        absent[:, len(PLAIN) :] = True
        absent.scatter_(1, offered, False)
        logits = model(ids, pictures[chosen], seen)[0].masked_fill(absent, -1e4)
        kind = (truth[chosen] - len(PLAIN)).clamp(0)
        own = torch.where(truth[chosen] < len(PLAIN), truth[chosen], offered[torch.arange(batch), kind])
        target = torch.where(absent[torch.arange(batch), own], offered[:, -1], own)
        loss = F.cross_entropy(logits, target)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return model.eval()


def export_pair(model: Pair, folder: Path) -> None:
    """Write the pair as Hugging Face's exporters write CLIP in two files, with its side files."""
    ids = torch.tensor([word_ids(phrase) for phrase in PLAIN[:2]])
    for name, part, example, output in (
        ("text_model", model.text, ids, "text_embeds"),
        ("vision_model", model.vision, torch.zeros(2, 3, CROP, CROP), "image_embeds"),
    ):
        given = "input_ids" if name == "text_model" else "pixel_values"
        torch.onnx.export(
            part,
            (example,),
            str(folder / f"{name}.onnx"),
            dynamo=False,
            opset_version=17,
            input_names=[given],
            output_names=[output],
            dynamic_axes={given: {0: "batch_size"}, output: {0: "batch_size"}},
        )
    write_tokenizer(folder)
    preprocessing = {
        "image_processor_type": "CLIPImageProcessor",
        "image_mean": MEAN,
        "image_std": STD,
        "resample": 3,
        "size": {"shortest_edge": CROP},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    (folder / "config.json").write_text(
        json.dumps({"model_type": "clip", "text_config": {"max_position_embeddings": LENGTH}})
    )
