"""What an adapter gets: open graphs, and what the files beside them say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import InputError, RuntimeUnavailableError, one_line
from edge_sam.files.serialization import decode_json
from edge_sam.runtimes import Session, Tensors
from edge_sam.text.graphs import Graph
from edge_sam.text.matcher import Matcher, MatcherFacts
from edge_sam.text.pixels import PIXEL_CONFIGS, PixelFormat, read_pixel_format
from edge_sam.text.tokens import PAD_CONFIGS, TOKENIZERS, OpenTokenizer, PhraseTokenizer, open_tokenizer, pad_token

_CONFIG = "config.json"


@dataclass(frozen=True)
class OpenGraph:
    """A graph in a runtime."""

    graph: Graph
    session: Session

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Tensors:
        """Run once. Inputs that the graph lacks are left out, and the others get its types. Outputs are float32.

        Raises
        ------
        RuntimeUnavailableError
            The runtime failed.
        """
        given = {name: np.ascontiguousarray(inputs[name], dtype=spec.dtype) for name, spec in self.graph.inputs.items()}
        try:
            outputs = self.session.run(given)
        except MemoryError:
            raise
        except Exception as error:  # Runtimes raise many unrelated classes.
            raise RuntimeUnavailableError(f"{self.graph.path.name} failed while running: {one_line(error)}") from error
        return {name: array.astype(np.float32, copy=False) for name, array in outputs.items()}


class ModelConfig(msgspec.Struct):
    """The fields of Hugging Face's `config.json` that are used."""

    model_type: str = ""
    text_config: dict[str, Any] | None = None

    @property
    def siglip(self) -> bool:
        """Whether the model is SigLIP or SigLIP 2."""
        return self.model_type.startswith("siglip")


class SideFiles:
    """The files beside the graphs of a matcher. Each is read when it is asked for.

    Parameters
    ----------
    folders : sequence of Path
        Where to look, the first ones first.

    Attributes
    ----------
    used : list of Path
        Those that were read.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = list(folders)
        self.used: list[Path] = []
        self._tokenizer: OpenTokenizer | None = None

    def places(self) -> list[Path]:
        """List the paths at which a file is looked for, the first ones first. Most are missing."""
        names = (*TOKENIZERS, *PAD_CONFIGS, *PIXEL_CONFIGS, _CONFIG)
        return [folder / name for folder in self._folders for name in names]

    def candidates(self) -> list[Path]:
        """List the files that may be read, the first of each name."""
        found: dict[str, Path] = {}
        for path in self.places():
            if path.name not in found and path.is_file():
                found[path.name] = path
        return list(found.values())

    def config(self) -> ModelConfig:
        """Read `config.json`. Without one, nothing is known."""
        for folder in self._folders:
            path = folder / _CONFIG
            if path.is_file():
                try:
                    config: ModelConfig = decode_json(path.read_bytes(), ModelConfig)
                except msgspec.DecodeError as error:
                    raise InputError(f"cannot read {path}: {error}") from error
                self._use(path)
                return config
        return ModelConfig()

    def pixels(self, usual: PixelFormat | None = None) -> PixelFormat:
        """Read how the graph wants its pixels; see `read_pixel_format`."""
        pixels, path = read_pixel_format(self._folders, usual)
        if path is not None:
            self._use(path)
        return pixels

    def tokenizer(self, length: int, pad: str | int) -> PhraseTokenizer:
        """Open the tokenizer.

        Parameters
        ----------
        length : int
            Tokens of a row.
        pad : str or int
            What fills a row if no file says so: a token, or an id.
        """
        if self._tokenizer is None:
            self._tokenizer = open_tokenizer(self._folders)
            self._use(self._tokenizer.path)
        tokenizer, path, number = self._tokenizer
        if (named := pad_token(path.parent)) is not None:
            named_id = tokenizer.token_to_id(named[0])
            number = number if named_id is None else named_id
            self._use(named[1])
        if number is None:
            number = pad if isinstance(pad, int) else tokenizer.token_to_id(pad)
        if number is None:
            raise InputError(f"{path} is not the tokenizer of this model: it has no token {pad}")
        return PhraseTokenizer(tokenizer, length, number, str(path))

    def _use(self, path: Path) -> None:
        if path not in self.used:
            self.used.append(path)


Parts = Mapping[str, OpenGraph]
"""The open graphs of a matcher by their part."""


@dataclass(frozen=True)
class MatcherLayout:
    """The names and the habits of an exporter's graphs.

    Attributes
    ----------
    name : str
        Name in manifests and reports.
    makers : str
        Whose graphs these are.
    bind : callable
        Takes graphs and returns those of the layout by part, or None if they are not of it. Raises `InputError` if they
        nearly are.
    open : callable
        Takes the open graphs, the files beside them and the facts, and returns the matcher. Raises `InputError`.
    """

    name: str
    makers: str
    bind: Callable[[Sequence[Graph]], dict[str, Graph] | None]
    open: Callable[[Parts, SideFiles, MatcherFacts], Matcher]


def graph_with(
    graphs: Sequence[Graph], inputs: set[str], outputs: set[str], optional: frozenset[str] = frozenset()
) -> Graph | None:
    """Return the graph that has exactly these inputs, and at least these outputs. None if there is none."""
    for graph in graphs:
        if inputs <= graph.inputs.keys() <= inputs | optional and outputs <= graph.outputs.keys():
            return graph
    return None


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the logistic function, for any logits without a warning."""
    return np.float32(0.5) * (1 + np.tanh(logits / 2))


def corners(boxes: NDArray[np.float32], width: float, height: float) -> NDArray[np.float64]:
    """Convert (N, 4) centres and sizes from 0 to 1 to XYXY in a frame of this size."""
    centre, half = boxes[:, :2].astype(np.float64), boxes[:, 2:].astype(np.float64) / 2
    frame = np.array([width, height, width, height])
    return np.asarray(np.concatenate([centre - half, centre + half], axis=1) * frame, np.float64)
