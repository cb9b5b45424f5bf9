"""Phrases to the token ids that a text model takes, with the package `tokenizers`."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import InputError, MissingExtraError, one_line
from edge_sam.files.serialization import decode_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_log = logging.getLogger("edge_sam.text")
CLIP_VOCABULARY = "bpe_simple_vocab_16e6.txt.gz"
"""The file of merges that comes with CLIP and open_clip."""
KEPT = 1024
"""Phrases that are kept, those that were asked last."""
TOKENIZERS = ("tokenizer.json", CLIP_VOCABULARY, "vocab.txt")
"""Files of tokenizers, those that are read first."""
PAD_CONFIGS = ("tokenizer_config.json", "special_tokens_map.json")
_CLIP_MERGES = 49152 - 256 - 2
_CLIP_WORDS = r"""<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""
_START, _END = "<|startoftext|>", "<|endoftext|>"


def check_phrases(text: object) -> list[str]:
    """Return phrases, each with single spaces.

    Parameters
    ----------
    text : str or sequence of str
        What to look for.

    Raises
    ------
    InputError
        There is none, one is empty, or it is no text.
    """
    given = [text] if isinstance(text, str) else text
    if not isinstance(given, Sequence) or not all(isinstance(phrase, str) for phrase in given):
        raise InputError(f"text must be a string or a list of strings, not {type(text).__name__}")
    phrases = [" ".join(phrase.split()) for phrase in given]
    if not phrases:
        raise InputError("there is no text; write what to find, such as 'a red mug'")
    if not all(phrases):
        raise InputError("a text is empty; write what to find, such as 'a red mug'")
    return list(dict.fromkeys(phrases))


class PhraseTokenizer:
    """Makes the token ids of phrases. What is too long for the model is cut, and said once in the log.

    Parameters
    ----------
    tokenizer : tokenizers.Tokenizer
        The vocabulary and its rules.
    length : int
        Tokens of a row.
    pad : int
        The id that fills a row.
    name : str
        The file, for messages.
    """

    def __init__(self, tokenizer: Tokenizer, length: int, pad: int, name: str) -> None:
        self._tokenizer, self.length, self.pad, self.name = tokenizer, length, pad, name
        self._row = lru_cache(KEPT)(self._cut)

    def __call__(self, phrases: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return ids and attention mask, both (N, length)."""
        rows = [self._row(phrase) for phrase in phrases]
        ids = np.full((len(rows), self.length), self.pad, np.int64)
        mask = np.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row)], mask[i, : len(row)] = row, 1
        return ids, mask

    def ids(self, text: str) -> list[int]:
        """Return the ids of a text, special tokens included, however many there are."""
        return list(self._tokenizer.encode(text).ids)

    def id_of(self, token: str) -> int:
        """Return the id of a token that the model needs. Raises `InputError` if the vocabulary lacks it."""
        found = self._tokenizer.token_to_id(token)
        if found is None:
            raise InputError(f"{self.name} is not the tokenizer of this model: it has no token {token}")
        return int(found)

    def say_cut(self, phrase: str, count: int, length: int) -> None:
        """Warn that a phrase of `count` tokens is cut to `length`."""
        _log.warning("%r has %d tokens; the model reads the first %d", phrase, count, length)

    def _cut(self, phrase: str) -> list[int]:
        row = self.ids(phrase)
        if len(row) > self.length:
            self.say_cut(phrase, len(row), self.length)
            row = [*row[: self.length - 1], row[-1]]
        return row


class OpenTokenizer(NamedTuple):
    """A tokenizer without padding and truncation, its file, and the id that fills rows if the file says one."""

    tokenizer: Tokenizer
    path: Path
    pad: int | None


def load_package() -> ModuleType:
    """Import the package `tokenizers`. Raises `MissingExtraError`."""
    try:
        import tokenizers
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f'text prompts need {error.name}, which is not installed: pip install "edge-sam[text]"'
        ) from error
    return tokenizers


def open_tokenizer(folders: Sequence[Path]) -> OpenTokenizer:
    """Open the tokenizer that lies beside the graphs.

    Parameters
    ----------
    folders : sequence of Path
        Where to look: for ``tokenizer.json``, CLIP's file of merges, or BERT's ``vocab.txt``.

    Returns
    -------
    OpenTokenizer

    Raises
    ------
    InputError
        There is none, or it is damaged.
    MissingExtraError
        The package `tokenizers` is not installed.
    """
    tokenizers = load_package()
    readers: tuple[Callable[[Path], Any], ...] = (
        lambda path: tokenizers.Tokenizer.from_file(str(path)),
        _clip,
        lambda path: tokenizers.BertWordPieceTokenizer(str(path))._tokenizer,
    )
    for folder in folders:
        for name, reader in zip(TOKENIZERS, readers, strict=True):
            path = folder / name
            if not path.is_file():
                continue
            try:
                tokenizer = reader(path)
            except Exception as error:  # The package raises plain `Exception`.
                raise InputError(f"{path} is not a tokenizer: {one_line(error)}") from error
            pad = (tokenizer.padding or {}).get("pad_id")
            tokenizer.no_padding()
            tokenizer.no_truncation()
            return OpenTokenizer(tokenizer, path, pad)
    raise InputError(
        f"there is no tokenizer beside the model; put its tokenizer.json into {folders[0]}"
        f" (or CLIP's {CLIP_VOCABULARY}, or BERT's vocab.txt)"
    )


class _TokenizerConfig(msgspec.Struct):
    """The fields of `tokenizer_config.json` and `special_tokens_map.json` that are used."""

    pad_token: Any = None


def pad_token(folder: Path) -> tuple[str, Path] | None:
    """Return the token that fills rows, and the file beside the tokenizer that says so. None if none does."""
    for name in PAD_CONFIGS:
        try:
            config = decode_json((folder / name).read_bytes(), _TokenizerConfig)
        except (OSError, msgspec.DecodeError):
            continue
        token = config.pad_token.get("content") if isinstance(config.pad_token, dict) else config.pad_token
        if isinstance(token, str):
            return token, folder / name
    return None


def _clip(path: Path) -> Tokenizer:
    """Build CLIP's tokenizer from its merges: byte-level pairs of lower-case words that end in ``</w>``."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    with gzip.open(path, "rt", encoding="utf-8") as file:
        lines = file.read(16 << 20).split("\n")[1 : _CLIP_MERGES + 1]
    merges = [(first, second) for first, second in (line.split() for line in lines if line)]
    letters = _byte_letters()
    names = [*letters, *(f"{letter}</w>" for letter in letters), *map("".join, merges), _START, _END]
    vocabulary = {name: number for number, name in enumerate(names)}
    tokenizer: Any = Tokenizer(models.BPE(vocabulary, merges, end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_CLIP_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([_START, _END])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{_START} $A {_END}", special_tokens=[(name, vocabulary[name]) for name in (_START, _END)]
    )
    built: Tokenizer = tokenizer
    return built


def _byte_letters() -> list[str]:
    """Return a letter for each byte in the order of CLIP's vocabulary, first those that can be printed."""
    printed = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printed]
    return [*map(chr, printed), *(chr(256 + number) for number in range(len(others)))]
