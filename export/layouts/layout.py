"""What a layout to export to is, and what it is made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto

from edge_sam.bundles.bundle import Bundle
from edge_sam.bundles.contract import CHANNELS, Contract
from edge_sam.bundles.manifest import Values
from edge_sam.errors import InputError
from edge_sam.export.layouts.compose import compose
from edge_sam.imaging.geometry import GRID, Geometry
from edge_sam.imaging.view import Fit
from edge_sam.prompts import Prompt
from edge_sam.runtimes import Session


@dataclass(frozen=True)
class BundleGraphs:
    """A bundle's components in one precision.

    Attributes
    ----------
    bundle : Bundle
        Where they come from.
    precision : str
        Their precision.
    graphs : mapping of str to ModelProto
        By role. The decoder takes the whole grid of image tokens.
    constants : mapping of str to ndarray
        See `Bundle.constants`.
    """

    bundle: Bundle
    precision: str
    graphs: Mapping[str, ModelProto]
    constants: Mapping[str, NDArray[np.float32]]

    @property
    def contract(self) -> Contract:
        """What the components exchange."""
        return self.bundle.contract

    def compose(self, text: str, **constants: NDArray[Any]) -> ModelProto:
        """Make a graph of a text that calls the components."""
        return compose(text, self.graphs, constants)


def read_parts(bundle: Bundle, precision: str) -> BundleGraphs:
    """Read a bundle's components.

    Raises
    ------
    InputError
        The bundle lacks one, one is damaged, or its weights are in a file beside it.
    """
    parts = [bundle.component(role, precision, "onnx") for role in bundle.graphs]
    if any(part.companion for part in parts):
        raise InputError(
            f"{bundle.manifest.name} in {precision} has more weights than one ONNX file can hold; give --precision w16"
        )
    graphs: dict[str, ModelProto] = {part.role: onnx.load(bundle.verified_file(part)) for part in parts}
    if bundle.contract.weighted_tokens:
        whole = _IN_TWO_PARTS if bundle.contract.separate_upscaling else _IN_ONE
        graphs["decoder"] = compose(_WHOLE_GRID.format(decoder=whole), graphs, _EVERY_TOKEN)
    return BundleGraphs(bundle, precision, graphs, bundle.constants(precision))


_IN_ONE = """
  low_res_logits, predicted_iou = edge_sam.decoder (
    every_token, token_index, token_count, point_coords, point_labels, token_size
  )
"""
_IN_TWO_PARTS = """
  predicted_iou, attended_tokens, mask_weights = edge_sam.decoder (
    every_token, token_index, token_count, point_coords, point_labels, token_size
  )
  low_res_logits = edge_sam.upscaling (attended_tokens, mask_weights, token_size)
"""
_WHOLE_GRID = f"""
decoder (
  float[one_or_prompts, {GRID}, {GRID}, {CHANNELS}] image_tokens, float[prompts, points, 2] point_coords,
  int64[prompts, points] point_labels, int64[2] token_size
) => (float[prompts, 4, height, width] low_res_logits, float[prompts, 4] predicted_iou)
<int64[3] one_row = {{{{0, -1, {CHANNELS}}}}}>
{{{{
  every_token = Reshape (image_tokens, one_row)
  {{decoder}}
}}}}
"""
"""A decoder of weighted tokens as one that takes the whole grid. `token_size` must be the whole grid too."""
_EVERY_TOKEN: dict[str, NDArray[Any]] = {
    "token_index": np.arange(GRID**2),
    "token_count": np.ones(GRID**2, np.float32),
}


class Client(Protocol):
    """Asks a pair of graphs as the programs do that read the layout."""

    def __call__(
        self, decoder: Session, maps: list[NDArray[np.float32]], prompt: Prompt, geometry: Geometry
    ) -> NDArray[np.bool_]:
        """Return the mask that a program shows for a prompt, at the photograph's size. `maps`: of the encoder."""
        ...


@dataclass(frozen=True, kw_only=True)
class ExportLayout:
    """Names, types and order of tensors that other programs read.

    Attributes
    ----------
    name : str
        What the user asks for.
    fit : Fit
        How the families that it is for fit photographs into the encoder's input.
    high_res : int
        How many further feature maps they have.
    values : tuple of str
        What the encoder may take; see `edge_sam.bundles.manifest.ForeignLayout`. The first is usual.
    encoder : callable
        Makes the encoder for one of the `values`.
    decoder : callable
        Makes the decoder.
    encoder_file, decoder_file : str
        Their paths in the output, with ``{name}`` for the model's name.
    side_files : callable
        Returns the text of the files that go along, by path, for the parts, the model's name and the values.
    client : Client
        What asks the pair.
    masks : bool
        Whether the decoder takes mask prompts.
    shows : str
        The preference (`edge_sam.preference`) that selects the mask that programs show.
    """

    name: str
    fit: Fit
    high_res: int = 0
    values: tuple[Values, ...]
    encoder: Callable[[BundleGraphs, Values], ModelProto]
    decoder: Callable[[BundleGraphs], ModelProto]
    encoder_file: str = "{name}.encoder.onnx"
    decoder_file: str = "{name}.decoder.onnx"
    side_files: Callable[[BundleGraphs, str, Values], dict[str, str]]
    client: Client
    masks: bool = True
    shows: Literal["auto", "best"] = "best"

    def takes(self, contract: Contract) -> bool:
        """Return whether the layout can be put around components that have this contract."""
        return contract.masks and contract.fit == self.fit and len(contract.high_res) == self.high_res
