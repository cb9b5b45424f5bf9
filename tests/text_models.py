"""Small models of text and pictures that the tests train themselves, and export in the layouts that others publish.

`train_detector` makes an OWL-style detector: one box and one embedding for each token of the picture, compared with the
embedding of each phrase. `train_pair` makes an image-text pair in the manner of CLIP.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from text_scenes import COLOURS, PHRASES, PLAIN, SHAPES, SIZES, Scene, draw_scene, fits
from torch import Tensor, nn
from torch.nn import functional as F

from edge_sam.text.crops import crop_object
from edge_sam.text.settings import BACKGROUND

WORDS = (
    *("a", "photo", "of", "an", "object", "background", "texture", "blurry", "part", "something"),
    *(*COLOURS, *SHAPES, *SIZES),
)
START, END = "<|startoftext|>", "<|endoftext|>"
LENGTH = 16
"""Tokens of a phrase, as in OWLv2."""
SIDE = 96
"""Side of the detector's padded square in pixels."""
CELL = 8
"""Side of one of its tokens."""
GRID = SIDE // CELL
CROP = 32
"""Side of the picture that the pair compares."""
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
WIDTH = 32


def write_tokenizer(folder: Path, pad: str = "!") -> None:
    """Write a `tokenizer.json` of whole words, with CLIP's special tokens."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    names = [pad, *WORDS, "<unk>", START, END]
    tokenizer = Tokenizer(models.WordLevel({name: i for i, name in enumerate(dict.fromkeys(names))}, "<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()  # type: ignore[assignment]
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]
    tokenizer.add_special_tokens([START, END])
    special = [(name, tokenizer.token_to_id(name)) for name in (START, END)]
    tokenizer.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single=f"{START} $A {END}", special_tokens=special
    )
    tokenizer.save(str(folder / "tokenizer.json"))


def word_ids(phrase: str) -> list[int]:
    """The token ids of a phrase, as the tokenizer of `write_tokenizer` gives them, padded with 0."""
    names = ["!", *WORDS, "<unk>", START, END]
    ids = [names.index(word) for word in (START, *phrase.split(), END)]
    return ids + [0] * (LENGTH - len(ids))


class TextTower(nn.Module):
    """Mean of the words' embeddings, and two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(len(WORDS) + 4, WIDTH)
        self.layers = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, ids: Tensor) -> Tensor:
        """(N, L) ids to (N, WIDTH)."""
        seen = (ids > 0).unsqueeze(-1).float()
        embedded: Tensor = self.layers((self.words(ids) * seen).sum(1) / seen.sum(1))
        return embedded


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
            nn.PixelUnshuffle(4),
            nn.Conv2d(3 * 16, WIDTH, 1),
            nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1),
            nn.BatchNorm2d(WIDTH),
            nn.ReLU(),
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
    normal: NDArray[np.float32] = ((frame - np.array(MEAN, np.float32)) / np.array(STD, np.float32)).transpose(2, 0, 1)
    return normal


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
    turned = [
        pictures.transpose(2, 3),
        *(each.unflatten(1, (GRID, GRID)).transpose(1, 2).flatten(1, 2) for each in (labels, chances, boxes)),
    ]
    turned[3] = turned[3][..., [1, 0, 3, 2]]
    return tuple(torch.cat(each) for each in zip((pictures, labels, chances, boxes), turned, strict=True))


def train_detector(steps: int = 450, scenes: int = 700, batch: int = 32) -> Detector:
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
        loss = (classes * (1 + 2 * truth[asked])).mean() + 3 * distance
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


class Vision(nn.Module):
    """A picture of one object to an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(3 * 16, WIDTH, 1),
            nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1),
            nn.BatchNorm2d(WIDTH),
            nn.ReLU(),
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
    """Masks of a scene, each with the number of its text in `PLAIN` and `BACKGROUND`: objects, parts of them, wall."""
    taken = np.any([each.mask for each in scene.objects], axis=0)
    pieces = [(~taken, len(PLAIN) + BACKGROUND.index("background"))]
    for each in scene.objects:
        pieces.append((each.mask, PLAIN.index(f"a {each.kind[1]} {each.kind[2]}")))
        x0, y0, x1, y1 = each.box
        half = np.zeros_like(each.mask)
        half[y0:y1, x0 : (x0 + x1) // 2] = True
        if random.integers(2):
            half[y0:y1, x0:x1] ^= True
        pieces.append((each.mask & half, len(PLAIN) + BACKGROUND.index("part of something")))
    height, width = taken.shape
    y, x = int(random.integers(height - 30)), int(random.integers(width - 30))
    square = np.zeros_like(taken)
    square[y : y + 30, x : x + 30] = True
    if (square & ~taken).any():
        pieces.append((square & ~taken, len(PLAIN) + BACKGROUND.index("background")))
    return pieces


def train_pair(steps: int = 250, scenes: int = 200, batch: int = 96) -> Pair:
    """Train an image-text pair on objects of drawn scenes, always the same.

    What fits none of a call's texts must be closest to "an object": so is half of every text left out of a call.
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
    model, ids = Pair(), torch.tensor([word_ids(phrase) for phrase in (*PLAIN, *BACKGROUND)])
    mask, generic = (ids > 0).long(), len(PLAIN) + BACKGROUND.index("an object")
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps, pct_start=0.2)
    for _ in range(steps):
        chosen = torch.from_numpy(random.integers(len(labels), size=batch))
        absent = torch.rand(batch, len(ids)) < 0.5
        absent[:, len(PLAIN) :] = False
        logits = model(ids, pictures[chosen], mask)[0].masked_fill(absent, -1e4)
        own = truth[chosen]
        target = torch.where(absent[torch.arange(batch), own], generic, own)
        loss = F.cross_entropy(logits, target)
        optimizer.zero_grad()
        loss.backward()
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
