"""Write a traced graph, and what lies beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast


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
