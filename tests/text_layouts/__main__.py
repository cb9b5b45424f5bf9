"""``python -m text_layouts``: export small random models of `transformers`, and record the reference's answers.

Run it in `tests/`, in an environment with torch, onnx, Pillow, scipy and ``transformers==4.57.1``.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPTextModelWithProjection,
    CLIPVisionModelWithProjection,
    Owlv2Config,
    Owlv2ForObjectDetection,
    Owlv2ImageProcessor,
    OwlViTConfig,
    OwlViTForObjectDetection,
    OwlViTImageProcessor,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
)

from text_layouts.grounding_dino import grounding_dino
from text_layouts.open_clip import open_clip
from text_layouts.question import HEIGHT, PHRASES, WIDTH, picture
from text_layouts.recording import export, save
from text_layouts.vocabularies import bert
from text_layouts.words import clip_words, siglip_words

HERE = Path(__file__).parent / "models"


SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}


def clip_model() -> tuple[CLIPModel, CLIPImageProcessor]:
    """A small CLIP, and its image processor."""
    text = {**SMALL, "vocab_size": 11, "max_position_embeddings": 12, "eos_token_id": 10, "bos_token_id": 9}
    text["projection_dim"] = 24
    config = CLIPConfig(
        text_config=text,
        vision_config={**SMALL, "image_size": 32, "patch_size": 8, "projection_dim": 24},
        projection_dim=24,
    )
    return CLIPModel(config).eval(), CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )


def square(side: int) -> np.ndarray:
    """The middle of the picture at a square size that needs no resizing."""
    from PIL import Image

    return np.asarray(Image.fromarray(picture()[:, 15:75]).resize((side, side), Image.Resampling.BICUBIC))


def clip(folder: Path, whole: bool) -> None:
    """CLIP in one graph, or in two."""
    model, processor = clip_model()
    tokenizer = clip_words()
    text = tokenizer(PHRASES, padding="max_length", max_length=12, return_tensors="pt")
    pixels = processor(square(32), return_tensors="pt")["pixel_values"]
    answer = model(text["input_ids"], pixels, text["attention_mask"])
    if whole:
        inputs = {"input_ids": text["input_ids"], "pixel_values": pixels, "attention_mask": text["attention_mask"]}
        free = {"input_ids": {0: "t"}, "attention_mask": {0: "t"}, "pixel_values": {0: "i"}}
        export(
            model,
            inputs,
            ["logits_per_image", "logits_per_text", "text_embeds", "image_embeds"],
            free,
            folder / "model.onnx",
        )
    else:
        one, two = (
            CLIPTextModelWithProjection(model.config.text_config),
            CLIPVisionModelWithProjection(model.config.vision_config),
        )
        one.load_state_dict(model.state_dict(), strict=False)
        two.load_state_dict(model.state_dict(), strict=False)
        export(
            one, {"input_ids": text["input_ids"]}, ["text_embeds"], {"input_ids": {0: "t"}}, folder / "text_model.onnx"
        )
        export(
            two, {"pixel_values": pixels}, ["image_embeds"], {"pixel_values": {0: "i"}}, folder / "vision_model.onnx"
        )
    save(
        folder,
        tokenizer,
        processor,
        model.config,
        {
            "input_ids": text["input_ids"],
            "attention_mask": text["attention_mask"],
            "pixel_values": pixels,
            "picture": square(32),
            "scale": model.logit_scale.exp(),
            "text_embeds": answer.text_embeds,
            "image_embeds": answer.image_embeds,
            "logits": answer.logits_per_image,
        },
    )


def siglip(folder: Path, whole: bool) -> None:
    """SigLIP in one graph, or in two."""
    text = {
        **SMALL,
        "vocab_size": 9,
        "max_position_embeddings": 12,
        "eos_token_id": 0,
        "pad_token_id": 0,
        "bos_token_id": 8,
    }
    config = SiglipConfig(text_config=text, vision_config={**SMALL, "image_size": 32, "patch_size": 8})
    model, tokenizer = SiglipModel(config).eval(), siglip_words()
    model.logit_scale.data.fill_(3.0)
    model.logit_bias.data.fill_(-5.0)
    processor = SiglipImageProcessor(size={"height": 32, "width": 32})
    ids = tokenizer(PHRASES, padding="max_length", max_length=12, return_tensors="pt")["input_ids"]
    pixels = processor(square(32), return_tensors="pt")["pixel_values"]
    answer = model(ids, pixels)
    tokens, pictures = {"input_ids": ids}, {"pixel_values": pixels}
    if whole:
        free = {"input_ids": {0: "t"}, "pixel_values": {0: "i"}}
        outputs = ["logits_per_image", "logits_per_text", "text_embeds", "image_embeds"]
        export(model, {**tokens, **pictures}, outputs, free, folder / "model.onnx")
    else:
        export(model.text_model, tokens, ["pooler_output"], {"input_ids": {0: "t"}}, folder / "text_model.onnx")
        free = {"pixel_values": {0: "i"}}
        export(model.vision_model, pictures, ["pooler_output"], free, folder / "vision_model.onnx")
    answers = {
        "picture": square(32),
        "scale": model.logit_scale.exp(),
        "text_embeds": answer.text_embeds,
        "image_embeds": answer.image_embeds,
        "logits": answer.logits_per_image,
    }
    save(folder, tokenizer, processor, config, {**tokens, **pictures, **answers})


def owl(folder: Path, version: int) -> None:
    """OWLv2, or OWL-ViT, which came first."""
    text = {
        **SMALL,
        "vocab_size": 11,
        "max_position_embeddings": 16,
        "eos_token_id": 10,
        "bos_token_id": 9,
        "pad_token_id": 0,
    }
    kind, make, prepare = {
        1: (OwlViTConfig, OwlViTForObjectDetection, OwlViTImageProcessor),
        2: (Owlv2Config, Owlv2ForObjectDetection, Owlv2ImageProcessor),
    }[version]
    config = kind(text_config=text, vision_config={**SMALL, "image_size": 96, "patch_size": 16}, projection_dim=32)
    model, tokenizer = make(config).eval(), clip_words()
    processor = prepare(size={"height": 96, "width": 96})
    encoded = tokenizer(PHRASES, padding="max_length", max_length=16, return_tensors="pt")
    pixels = processor(picture(), return_tensors="pt")["pixel_values"]
    inputs = {"input_ids": encoded["input_ids"], "pixel_values": pixels, "attention_mask": encoded["attention_mask"]}
    answer = model(**inputs)
    found = processor.post_process_object_detection(answer, threshold=0.0, target_sizes=[(HEIGHT, WIDTH)])[0]
    free = {"input_ids": {0: "t"}, "attention_mask": {0: "t"}}
    export(model, inputs, ["logits", "pred_boxes", "text_embeds", "image_embeds"], free, folder / "model.onnx")
    save(
        folder,
        tokenizer,
        processor,
        config,
        {
            "input_ids": encoded["input_ids"],
            "attention_mask": encoded["attention_mask"],
            "pixel_values": pixels,
            "logits": answer.logits,
            "pred_boxes": answer.pred_boxes,
            "scores": torch.sigmoid(answer.logits[0]),
            "boxes": found["boxes"],
        },
    )


MODELS: dict[str, Callable[[Path], None]] = {
    "clip": lambda folder: clip(folder, whole=False),
    "clip-whole": lambda folder: clip(folder, whole=True),
    "open-clip": open_clip,
    "siglip": lambda folder: siglip(folder, whole=False),
    "siglip-whole": lambda folder: siglip(folder, whole=True),
    "owlv2": lambda folder: owl(folder, version=2),
    "owlvit": lambda folder: owl(folder, version=1),
    "grounding-dino": grounding_dino,
    "idea": lambda folder: grounding_dino(folder, idea=True),
    "bert": bert,
}

if __name__ == "__main__":
    for name, make in MODELS.items() if len(sys.argv) < 2 else [(n, MODELS[n]) for n in sys.argv[1:]]:
        torch.manual_seed(0)
        shutil.rmtree(HERE / name, ignore_errors=True)
        (HERE / name).mkdir(parents=True)
        make(HERE / name)
        print(name, sum(file.stat().st_size for file in (HERE / name).iterdir()))
