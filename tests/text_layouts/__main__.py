"""``python -m text_layouts``: export small random models of `transformers`, and record the reference's answers.

Run it in `tests/`, in an environment with torch, onnx, Pillow, scipy and ``transformers==4.57.1``.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPTextModelWithProjection,
    CLIPVisionModelWithProjection,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessor,
    Owlv2Config,
    Owlv2ForObjectDetection,
    Owlv2ImageProcessor,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    SwinConfig,
)
from transformers.models.grounding_dino import modeling_grounding_dino

HERE = Path(__file__).parent / "models"
PHRASES = ["a red circle", "the large blue square"]
WORDS = ("a", "the", "red", "blue", "large", "circle", "square")
HEIGHT, WIDTH = 60, 90
"""Of the picture: not square, so that a wrong frame of the boxes is seen."""


def picture() -> np.ndarray:
    """The picture that is asked about, smooth enough that filters hardly differ."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] / 20.0
    waves = np.stack([np.sin(x + y), np.cos(x - 0.5 * y), np.sin(0.7 * x * y / 3)], axis=-1)
    return np.rint(127.5 + 100 * waves).astype(np.uint8)


def words(names: dict[str, int], begin: str, end: str) -> PreTrainedTokenizerFast:
    """A tokenizer of whole words, saved as `transformers` saves them."""
    tokenizer: Any = Tokenizer(models.WordLevel(names, "<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation()])
    tokenizer.add_special_tokens([begin, end])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}", special_tokens=[(begin, names[begin]), (end, names[end])]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", pad_token=next(iter(names)))


def clip_words() -> PreTrainedTokenizerFast:
    """CLIP's special tokens last: the model takes the highest id for the end of the text."""
    return words({n: i for i, n in enumerate(["!", *WORDS, "<unk>", "<|startoftext|>", "<|endoftext|>"])}, *CLIP_ENDS)


CLIP_ENDS = ("<|startoftext|>", "<|endoftext|>")


def siglip_words() -> PreTrainedTokenizerFast:
    """SigLIP has no beginning, and fills rows with its end."""
    names = {n: i for i, n in enumerate(["</s>", *WORDS, "<unk>"])}
    tokenizer: Any = Tokenizer(models.WordLevel(names, "<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", pad_token="</s>")


def bert_words() -> PreTrainedTokenizerFast:
    """BERT's special tokens, whose ids Grounding DINO's code has in it: 101, 102, 1012 and 1029."""
    special = {"[PAD]": 0, "<unk>": 100, "[CLS]": 101, "[SEP]": 102, ".": 1012, "?": 1029}
    return words(special | {word: 200 + i for i, word in enumerate(WORDS)}, "[CLS]", "[SEP]")


def export(
    model: Any, inputs: dict[str, torch.Tensor], outputs: list[str], free: dict[str, dict[int, str]], path: Path
) -> None:
    """Trace a model with named inputs and write it."""

    class Named(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *given: torch.Tensor) -> tuple[torch.Tensor, ...]:
            answer = self.model(**dict(zip(inputs, given, strict=True)))
            return tuple(answer[name] for name in outputs)

    torch.onnx.export(
        Named().eval(),
        tuple(inputs.values()),
        str(path),
        dynamo=False,
        opset_version=17,
        input_names=list(inputs),
        output_names=outputs,
        dynamic_axes=free,
    )


def save(
    folder: Path, tokenizer: PreTrainedTokenizerFast, processor: Any, config: Any, answers: dict[str, Any]
) -> None:
    """Write the side files and the recorded answers."""
    tokenizer._tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "special_tokens_map.json").write_text(json.dumps({"pad_token": tokenizer.pad_token}))
    processor.save_pretrained(folder)
    kept = {"model_type": config.model_type, "text_config": {}}
    if config.model_type in ("clip", "siglip"):
        kept["text_config"] = {"max_position_embeddings": config.text_config.max_position_embeddings}
    (folder / "config.json").write_text(json.dumps(kept))
    arrays = {
        name: np.asarray(value.detach() if isinstance(value, torch.Tensor) else value)
        for name, value in answers.items()
    }
    np.savez_compressed(folder / "answers.npz", **arrays)  # type: ignore[arg-type]


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


def siglip(folder: Path) -> None:
    """SigLIP in two graphs."""
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
    processor = SiglipImageProcessor(size={"height": 32, "width": 32})
    ids = tokenizer(PHRASES, padding="max_length", max_length=12, return_tensors="pt")["input_ids"]
    pixels = processor(square(32), return_tensors="pt")["pixel_values"]
    answer = model(ids, pixels)
    export(model.text_model, {"input_ids": ids}, ["pooler_output"], {"input_ids": {0: "t"}}, folder / "text_model.onnx")
    export(
        model.vision_model,
        {"pixel_values": pixels},
        ["pooler_output"],
        {"pixel_values": {0: "i"}},
        folder / "vision_model.onnx",
    )
    save(
        folder,
        tokenizer,
        processor,
        config,
        {
            "input_ids": ids,
            "picture": square(32),
            "pixel_values": pixels,
            "text_embeds": answer.text_embeds,
            "image_embeds": answer.image_embeds,
        },
    )


def owlv2(folder: Path) -> None:
    """OWLv2."""
    text = {
        **SMALL,
        "vocab_size": 11,
        "max_position_embeddings": 16,
        "eos_token_id": 10,
        "bos_token_id": 9,
        "pad_token_id": 0,
    }
    config = Owlv2Config(
        text_config=text, vision_config={**SMALL, "image_size": 96, "patch_size": 16}, projection_dim=32
    )
    model, tokenizer = Owlv2ForObjectDetection(config).eval(), clip_words()
    processor = Owlv2ImageProcessor(size={"height": 96, "width": 96})
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


def grounding_dino(folder: Path, idea: bool = False) -> None:
    """Grounding DINO; with `idea`, the same model with the inputs and outputs of IDEA's exports."""
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
    config = GroundingDinoConfig(
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


MODELS: dict[str, Callable[[Path], None]] = {
    "clip": lambda folder: clip(folder, whole=False),
    "clip-whole": lambda folder: clip(folder, whole=True),
    "siglip": siglip,
    "owlv2": owlv2,
    "grounding-dino": grounding_dino,
    "idea": lambda folder: grounding_dino(folder, idea=True),
}

if __name__ == "__main__":
    for name, make in MODELS.items() if len(sys.argv) < 2 else [(n, MODELS[n]) for n in sys.argv[1:]]:
        torch.manual_seed(0)
        shutil.rmtree(HERE / name, ignore_errors=True)
        (HERE / name).mkdir(parents=True)
        make(HERE / name)
        print(name, sum(file.stat().st_size for file in (HERE / name).iterdir()))
