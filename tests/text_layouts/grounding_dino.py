"""Grounding DINO as `transformers` and as IDEA's code export it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import (
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessor,
    SwinConfig,
)
from transformers.models.grounding_dino import modeling_grounding_dino

from text_layouts.question import HEIGHT, PHRASES, WIDTH, picture
from text_layouts.recording import export, save
from text_layouts.words import bert_words


def small_config() -> GroundingDinoConfig:
    """A model of a few hundred kilobytes."""
    backbone = SwinConfig(
        image_size=96,
        patch_size=4,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 1, 1],
        window_size=4,
        out_features=["stage3", "stage4"],
    )
    text = {
        "model_type": "bert",
        "vocab_size": 1030,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 40,
        "pad_token_id": 0,
    }
    return GroundingDinoConfig(
        backbone_config=backbone,
        text_config=text,
        use_pretrained_backbone=False,
        d_model=32,
        num_queries=20,
        encoder_layers=1,
        decoder_layers=1,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        num_feature_levels=2,
        max_text_len=32,
        disable_custom_kernels=True,
        text_enhancer_dropout=0.0,
        fusion_dropout=0.0,
        fusion_droppath=0.0,
        dropout=0.0,
        attention_dropout=0.0,
    )


def grounding_dino(folder: Path, idea: bool = False) -> None:
    """Grounding DINO; with `idea`, the same model with the inputs and outputs of IDEA's exports."""
    config = small_config()
    model, tokenizer = GroundingDinoForObjectDetection(config).eval(), bert_words()
    processor = GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
    encoded = tokenizer(" . ".join(PHRASES) + " .", return_tensors="pt")
    image = processor(picture(), return_tensors="pt")
    inputs = {
        "pixel_values": image["pixel_values"],
        "input_ids": encoded["input_ids"],
        "token_type_ids": torch.zeros_like(encoded["input_ids"]),
        "attention_mask": encoded["attention_mask"],
        "pixel_mask": image["pixel_mask"],
    }
    answer = model(**inputs)
    found = processor.post_process_object_detection(answer, threshold=0.0, target_sizes=[(HEIGHT, WIDTH)])[0]
    masks, positions = modeling_grounding_dino.generate_masks_with_special_tokens_and_transfer_map(encoded["input_ids"])
    if idea:
        export_idea(model, inputs, masks, positions, folder / "model.onnx")
    else:
        for ours, theirs in zip(traceable_phrases(encoded["input_ids"]), (masks, positions), strict=True):
            assert torch.equal(ours, theirs)
        with phrases_by(traceable_phrases):
            export(model, inputs, ["logits", "pred_boxes"], {}, folder / "model.onnx")
    save(
        folder,
        tokenizer,
        processor,
        config,
        {
            **inputs,
            "text_token_mask": masks,
            "position_ids": positions,
            "logits": answer.logits,
            "pred_boxes": answer.pred_boxes,
            "boxes": found["boxes"],
            "scores": torch.sigmoid(answer.logits[0]),
        },
    )


@contextlib.contextmanager
def phrases_by(made: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]) -> Iterator[None]:
    """Let the model take masks and positions of phrases from a function."""
    name = "generate_masks_with_special_tokens_and_transfer_map"
    before = getattr(modeling_grounding_dino, name)
    setattr(modeling_grounding_dino, name, made)
    try:
        yield
    finally:
        setattr(modeling_grounding_dino, name, before)


def traceable_phrases(ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Masks and positions of phrases without the reference's loop, whose trace would hold for one text only."""
    special = torch.stack([ids == token for token in (101, 102, 1012, 1029)]).any(0).long()
    phrase = special.cumsum(1) - special
    inside = phrase < special.sum(1, keepdim=True)
    same = (phrase[:, :, None] == phrase[:, None, :]) & inside[:, :, None]
    places = torch.arange(ids.shape[1])
    before = same & (places[None, None, :] < places[None, :, None])
    return same | (places[None, :, None] == places[None, None, :]), before.long().sum(-1)


def export_idea(
    model: Any, inputs: dict[str, torch.Tensor], masks: torch.Tensor, positions: torch.Tensor, path: Path
) -> None:
    """Write a model that takes the masks and positions of the phrases, which IDEA's code computes outside."""

    class Idea(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(
            self, img: Any, ids: Any, attention: Any, place: Any, types: Any, mask: Any
        ) -> tuple[torch.Tensor, ...]:
            with phrases_by(lambda _: (mask, place)):
                answer = self.model(img, ids, types, attention.long())
            return answer["logits"], answer["pred_boxes"]

    given = (
        inputs["pixel_values"],
        inputs["input_ids"],
        inputs["attention_mask"].bool(),
        positions,
        inputs["token_type_ids"],
        masks.bool(),
    )
    names = ["img", "input_ids", "attention_mask", "position_ids", "token_type_ids", "text_token_mask"]
    torch.onnx.export(
        Idea().eval(),
        given,
        str(path),
        dynamo=False,
        opset_version=17,
        input_names=names,
        output_names=["logits", "boxes"],
    )
