"""CLIP under the names of open_clip's exports, with open_clip's side files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTextModelWithProjection
from transformers import CLIPVisionModelWithProjection as Vision

from text_layouts.question import PHRASES, picture
from text_layouts.vocabularies import TEXTS, save_ids, write_merges

LENGTH, SIDE = 20, 32
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}


def open_clip(folder: Path) -> None:
    """A visual and a textual file, ``input`` to ``output``. Rows of tokens are filled with 0."""
    tokenizer = write_merges(folder)
    save_ids(folder, tokenizer, TEXTS)
    text = {**SMALL, "vocab_size": len(tokenizer), "max_position_embeddings": LENGTH, "projection_dim": 24}
    text |= {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id}
    vision = {**SMALL, "image_size": SIDE, "patch_size": 8, "projection_dim": 24}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)).eval()
    ids = torch.zeros((len(PHRASES), LENGTH), dtype=torch.int64)
    for row, phrase in zip(ids, PHRASES, strict=True):
        known = tokenizer(phrase)["input_ids"]
        row[: len(known)] = torch.tensor(known)
    shown = picture()[:, 15:75]
    processor = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}, resample=2)
    pixels = processor(shown, return_tensors="pt")["pixel_values"]
    for name, part, given in (
        ("textual", CLIPTextModelWithProjection(model.config.text_config), ids),
        ("visual", Vision(model.config.vision_config), pixels),
    ):
        part.load_state_dict(model.state_dict(), strict=False)
        write(part.eval(), given, folder / f"small-{name}.onnx")
    answer = model(ids, pixels)
    config = {"mean": MEAN, "std": STD, "size": [SIDE, SIDE], "interpolation": "bilinear"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": {}, "preprocess_cfg": config}))
    kept = {
        "input_ids": ids,
        "pixel_values": pixels,
        "text_embeds": answer.text_embeds,
        "image_embeds": answer.image_embeds,
    }
    arrays = {name: np.asarray(each.detach()) for name, each in kept.items()}
    np.savez_compressed(folder / "answers.npz", picture=shown, **arrays)  # type: ignore[arg-type]


def write(part: Any, given: torch.Tensor, path: Path) -> None:
    """Trace one tower and write it."""

    class Named(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = part

        def forward(self, given: torch.Tensor) -> torch.Tensor:
            embeds: torch.Tensor = self.part(given)[0]
            return embeds

    torch.onnx.export(
        Named().eval(),
        (given,),
        str(path),
        dynamo=False,
        opset_version=17,
        input_names=["input"],
        output_names=["output"],
        dynamic_axes={"input": {0: "n"}, "output": {0: "n"}},
    )
