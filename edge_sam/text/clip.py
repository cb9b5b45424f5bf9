"""CLIP and its relatives: picture and words to embeddings, in two graphs or in one.

Alec Radford et al., arXiv 2103.00020 (CLIP); Fartash Faghri et al., arXiv 2508.20691 (MobileCLIP2); Xiaohua Zhai et
al., arXiv 2303.15343 (SigLIP).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import InputError
from edge_sam.runtimes import Tensors
from edge_sam.text.graphs import Graph
from edge_sam.text.matcher import MatcherFacts
from edge_sam.text.matcher_files import MatcherLayout, OpenGraph, Parts, SideFiles, graph_with
from edge_sam.text.tokens import KEPT

_LENGTH, _SIGLIP_LENGTH = 77, 64
"""Tokens of a phrase if neither graph nor file says it."""
_BATCH = 8
"""Pictures in one call, if the graph takes several."""
_SCALE = 100.0
"""Factor from cosines to logits, to which CLIP and its relatives train."""
_TEXT_INPUTS, _IMAGE_INPUTS = ("input_ids", "input", "text"), ("pixel_values", "input", "image")
_TEXT_OUTPUTS = ("text_embeds", "output", "embedding", "pooler_output")
_IMAGE_OUTPUTS = ("image_embeds", "output", "embedding", "pooler_output")
_POOLED = "pooler_output"
_PROBE = "a photo"


class PhraseEmbeddings:
    """Embeddings of phrases, of unit length, each computed once.

    Parameters
    ----------
    part : OpenGraph
        A graph that takes tokens; it may take a picture too.
    beside : SideFiles
        For the tokenizer.
    pixels : ndarray of float32, (1, 3, H, W), optional
        The picture to give to a graph that wants one.
    """

    def __init__(self, part: OpenGraph, beside: SideFiles, pixels: NDArray[np.float32] | None = None) -> None:
        self._part, self._pixels, graph = part, pixels, part.graph
        self._input = _first_name(graph.inputs, _TEXT_INPUTS, graph)
        self._output = _first_name(graph.outputs, _TEXT_OUTPUTS, graph)
        config = beside.config()
        siglip = config.siglip
        _refuse_unprojected(self._output, graph, beside)
        longest = (config.text_config or {}).get("max_position_embeddings")
        length = graph.size(self._input, 1) or (longest if isinstance(longest, int) else None)
        # OpenAI and open_clip fill rows with 0. It matters where words see what follows them, as in MobileCLIP2.
        self.tokens = beside.tokenizer(length or (_SIGLIP_LENGTH if siglip else _LENGTH), "</s>" if siglip else 0)
        if not siglip:
            self.tokens.id_of("<|endoftext|>")
        self._rows = graph.size(self._input, 0)
        self._kept: dict[str, NDArray[np.float32]] = {}
        self.size = int(self([_PROBE]).shape[1])

    def __call__(self, phrases: Sequence[str]) -> NDArray[np.float32]:
        """Return (phrases, size)."""
        kept = self._kept  # Another thread may put a new one in its place.
        new = [phrase for phrase in dict.fromkeys(phrases) if phrase not in kept]
        if len(kept) + len(new) > KEPT:
            kept, new = {}, list(dict.fromkeys(phrases))
        step = self._rows or max(1, len(new))
        for start in range(0, len(new), step):
            asked = new[start : start + step]
            ids, mask = self.tokens([*asked, *[asked[-1]] * (step - len(asked))] if self._rows else asked)
            for phrase, vector in zip(asked, self._embed(ids, mask), strict=False):
                kept[phrase] = vector
        self._kept = kept
        return np.stack([kept[phrase] for phrase in phrases])

    def inputs(self, count: int = 1) -> Tensors:
        """Return the inputs for a phrase, for a graph that wants one with every picture."""
        ids, mask = self.tokens([_PROBE] * (self._rows or count))
        return {self._input: ids, "attention_mask": mask}

    def _embed(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        inputs: Tensors = {self._input: ids, "attention_mask": mask}
        if self._pixels is not None:
            inputs["pixel_values"] = self._pixels
        return unit(self._part.run(inputs)[self._output])


class ClipPair:
    """CLIP, MobileCLIP2 or SigLIP; see `edge_sam.text.matcher.ImageText`.

    Attributes
    ----------
    resample : Image.Resampling
        Filter for resizing, of `preprocessor_config.json`.
    """

    threshold = 0.5

    def __init__(self, parts: Parts, beside: SideFiles, facts: MatcherFacts) -> None:
        self.facts = facts
        self._whole = "model" in parts
        self._vision = parts["model"] if self._whole else parts["vision"]
        graph = self._vision.graph
        self._input = _first_name(graph.inputs, _IMAGE_INPUTS, graph)
        self._output = _first_name(graph.outputs, _IMAGE_OUTPUTS, graph)
        _refuse_unprojected(self._output, graph, beside)
        self._pixels = beside.pixels()
        self.resample, given = self._pixels.resample, self._pixels.size
        side = graph.size(self._input, -1) or given.get("height") or given.get("shortest_edge")
        if side is None:
            raise InputError(
                f"{graph.path.name}: the size of its pictures is unknown; preprocessor_config.json names none"
            )
        self.side = side
        self._count = graph.size(self._input, 0)
        blank = np.zeros((self._count or 1, 3, side, side), np.float32)
        text = parts["model"] if self._whole else parts["text"]
        self._embed = PhraseEmbeddings(text, beside, blank if self._whole else None)
        size = int(self._embed_pictures([np.zeros((side, side, 3), np.uint8)]).shape[1])
        if size != self._embed.size:
            raise InputError(
                f"{graph.path.name} gives embeddings of {size} numbers, {text.graph.path.name} of {self._embed.size};"
                " they are of different models"
            )
        self._scale = self._logit_scale() if self._whole and "logits_per_image" in graph.outputs else _SCALE

    def similarity(self, pictures: Iterable[NDArray[np.uint8]], phrases: Sequence[str]) -> NDArray[np.float32]:
        """See `ImageText.similarity`."""
        words = self._embed(phrases)
        rows = [self._embed_pictures(batch) @ words.T for batch in _batches(pictures, self._count or _BATCH)]
        found = np.concatenate(rows) if rows else np.zeros((0, len(phrases)), np.float32)
        return found * np.float32(self._scale)

    def _embed_pictures(self, batch: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        return unit(self._run(batch)[self._output])[: len(batch)]

    def _run(self, batch: Sequence[NDArray[np.uint8]]) -> Tensors:
        pixels = np.stack([self._pixels.tensor(picture) for picture in batch])
        if self._count is not None:  # A graph of so many pictures wants them all.
            pixels = np.pad(pixels, ((0, self._count - len(batch)), (0, 0), (0, 0), (0, 0)))
        inputs: Tensors = {self._input: pixels}
        return self._vision.run(inputs | self._embed.inputs() if self._whole else inputs)

    def _logit_scale(self) -> float:
        """Read the factor from cosines to logits off two pictures."""
        random = np.random.default_rng(0)
        pictures = random.integers(0, 256, (2, self.side, self.side, 3), dtype=np.uint8)
        seen = []
        for picture in pictures:
            outputs = self._run([picture])
            cosine = unit(outputs[self._output])[0] @ unit(outputs["text_embeds"])[0]
            seen.append((float(cosine), float(outputs["logits_per_image"][0, 0])))
        (first, low), (second, high) = seen
        return (high - low) / (second - first) if abs(second - first) > 1e-4 else _SCALE


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale each row of (N, size) to unit length."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), np.float32)


def text_graph(graphs: Sequence[Graph]) -> Graph | None:
    """Return the graph that makes embeddings of tokens. None if there is none."""
    for graph in graphs:
        tokens = graph.inputs.keys() - {"attention_mask"}
        if len(tokens) == 1 and tokens <= set(_TEXT_INPUTS) and set(_TEXT_OUTPUTS) & graph.outputs.keys():
            spec = graph.inputs[next(iter(tokens))]
            if len(spec.shape) == 2 and spec.dtype.startswith("int"):
                return graph
    return None


def _vision_graph(graphs: Sequence[Graph]) -> Graph | None:
    for graph in graphs:
        if len(graph.inputs) == 1 and graph.inputs.keys() <= set(_IMAGE_INPUTS):
            spec = next(iter(graph.inputs.values()))
            if len(spec.shape) == 4 and set(_IMAGE_OUTPUTS) & graph.outputs.keys():
                return graph
    return None


def _bind_two(graphs: Sequence[Graph]) -> dict[str, Graph] | None:
    text, vision = text_graph(graphs), _vision_graph(graphs)
    if text is None and vision is None:
        return None
    for found, missing in ((vision, "text"), (text, "vision")):
        if found is not None and (text is None or vision is None):
            raise InputError(f"{found.path.name} is one half of an image-text pair; give its {missing} model too")
    assert text is not None
    assert vision is not None
    return {"text": text, "vision": vision}


def _bind_one(graphs: Sequence[Graph]) -> dict[str, Graph] | None:
    optional = frozenset({"attention_mask"})
    graph = graph_with(graphs, {"input_ids", "pixel_values"}, {"text_embeds", "image_embeds"}, optional)
    return None if graph is None else {"model": graph}


def _refuse_unprojected(output: str, graph: Graph, beside: SideFiles) -> None:
    if output == _POOLED and not beside.config().siglip:
        raise InputError(
            f"{graph.path.name} gives only pooler_output, which for CLIP lies before the projection; export"
            " CLIPTextModelWithProjection and CLIPVisionModelWithProjection (for SigLIP, put its config.json beside the"
            " graph)"
        )


def _first_name(tensors: Any, names: Sequence[str], graph: Graph) -> str:
    """Return the first of some names that a graph has."""
    for name in names:
        if name in tensors:
            return name
    raise InputError(f"{graph.path.name} has none of {', '.join(names)}")


def _batches(pictures: Iterable[NDArray[np.uint8]], size: int) -> Iterator[list[NDArray[np.uint8]]]:
    left = iter(pictures)
    while batch := list(islice(left, size)):
        yield batch


CLIP = MatcherLayout("clip", "CLIP, MobileCLIP2 and SigLIP in two graphs", _bind_two, ClipPair)
CLIP_WHOLE = MatcherLayout("clip-whole", "Hugging Face (CLIP and SigLIP in one graph)", _bind_one, ClipPair)
