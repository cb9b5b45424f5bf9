"""Vocabularies in the files that come with CLIP and BERT, and the ids that `transformers` gives for some texts."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from tempfile import TemporaryDirectory

from transformers import BertTokenizer, CLIPTokenizer
from transformers.models.clip.tokenization_clip import bytes_to_unicode

from text_layouts.question import PHRASES
from text_layouts.words import BERT_SPECIAL, CLIP_ENDS, WORDS

MERGES = (
    *("t h", "th e</w>", "r e", "re d</w>", "b l", "u e</w>", "bl ue</w>", "l a", "la r", "g e</w>", "lar ge</w>"),
    *("c i", "ci r", "c l", "cl e</w>", "cir cle</w>", "s q", "sq u", "r e</w>", "a re</w>"),
)
"""In CLIP's form. The last word of the phrases stays in two pieces."""
TEXTS = (*PHRASES, "  RED  red!", "it's 2 mugs, isn't it?", "10 cups -- naïve café", "under_score", "x<|endoftext|>")
"""What the tokenizers are asked."""


def write_merges(folder: Path) -> CLIPTokenizer:
    """Write CLIP's file with few merges. Returns the reference's tokenizer with them."""
    with gzip.GzipFile(folder / "bpe_simple_vocab_16e6.txt.gz", "wb", mtime=0) as file:
        file.write("\n".join(["#version: 0.2", *MERGES, ""]).encode())
    letters = list(bytes_to_unicode().values())
    names = [*letters, *(f"{each}</w>" for each in letters), *(each.replace(" ", "") for each in MERGES), *CLIP_ENDS]
    with TemporaryDirectory() as temporary:
        vocabulary, lines = Path(temporary, "vocab.json"), Path(temporary, "merges.txt")
        vocabulary.write_text(json.dumps({name: number for number, name in enumerate(names)}))
        lines.write_text("\n".join(["#version: 0.2", *MERGES, ""]))
        tokenizer = CLIPTokenizer(str(vocabulary), str(lines))
    assert len(tokenizer) == len(names)
    return tokenizer


def bert(folder: Path) -> None:
    """BERT's `vocab.txt`, with the ids that Grounding DINO's small model knows."""
    names = {**BERT_SPECIAL, **{word: 200 + i for i, word in enumerate(WORDS)}}
    names |= {"##s": 210, "##d": 211, "cafe": 212, "mug": 213, "!": 999, ",": 1010, "-": 1011, "[UNK]": 100}
    lines = [f"[unused{number}]" for number in range(1030)]
    for name, number in names.items():
        lines[number] = name
    (folder / "vocab.txt").write_text("\n".join([*lines, ""]))
    save_ids(folder, BertTokenizer(str(folder / "vocab.txt")), (*TEXTS, "Café-mugs, reds!"))


def save_ids(folder: Path, tokenizer: CLIPTokenizer | BertTokenizer, texts: tuple[str, ...]) -> None:
    """Write the ids of texts."""
    ids = {text: tokenizer(text)["input_ids"] for text in texts}
    (folder / "ids.json").write_text(json.dumps(ids, ensure_ascii=False, indent=1) + "\n")
