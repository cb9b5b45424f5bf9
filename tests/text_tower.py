"""What the trained models of the tests share: their words, their tokenizer, and the tower that reads text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from text_scenes import COLOURS, SHAPES, SIZES
from torch import Tensor, nn

WORDS = (
    *("a", "photo", "of", "an", "object", "background", "texture", "blurry", "part", "something"),
    *(*COLOURS, *SHAPES, *SIZES),
)
START, END = "<|startoftext|>", "<|endoftext|>"
LENGTH = 16
"""Tokens of a phrase, as in OWLv2."""
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of CLIP's pictures."""
WIDTH = 32
"""Channels of every layer."""


def write_tokenizer(folder: Path, pad: str = "!") -> None:
    """Write a `tokenizer.json` of whole words, with CLIP's special tokens."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    names = [pad, *WORDS, "<unk>", START, END]
    tokenizer: Any = Tokenizer(models.WordLevel({name: i for i, name in enumerate(dict.fromkeys(names))}, "<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([START, END])
    special = [(name, tokenizer.token_to_id(name)) for name in (START, END)]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{START} $A {END}", special_tokens=special)
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


def first_layers() -> list[nn.Module]:
    """Pixels (N, 3, H, W) to (N, WIDTH, H / 8, W / 8)."""
    return [
        nn.PixelUnshuffle(4),
        nn.Conv2d(3 * 16, WIDTH, 1),
        nn.ReLU(),
        nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1),
        nn.BatchNorm2d(WIDTH),
        nn.ReLU(),
    ]
