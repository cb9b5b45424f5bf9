"""Tokenizers of whole words, with the special tokens of each model."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

WORDS = ("a", "the", "red", "blue", "large", "circle", "square")
BERT_SPECIAL = {"[PAD]": 0, "[CLS]": 101, "[SEP]": 102, ".": 1012, "?": 1029}
"""Grounding DINO's code has these ids in it."""
CLIP_ENDS = ("<|startoftext|>", "<|endoftext|>")


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


def siglip_words() -> PreTrainedTokenizerFast:
    """SigLIP has no beginning, and fills rows with its end."""
    names = {n: i for i, n in enumerate(["</s>", *WORDS, "<unk>"])}
    tokenizer: Any = Tokenizer(models.WordLevel(names, "<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", pad_token="</s>")


def bert_words() -> PreTrainedTokenizerFast:
    """Whole words with BERT's special tokens."""
    names = {**BERT_SPECIAL, "<unk>": 100, **{word: 200 + i for i, word in enumerate(WORDS)}}
    return words(names, "[CLS]", "[SEP]")
