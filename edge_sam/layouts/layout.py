"""What a layout is: the names and the habits of graphs that other exporters write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from edge_sam.bundles.contract import CHANNELS, Contract
from edge_sam.bundles.manifest import Channels, Component, TensorSpec, Values
from edge_sam.imaging.geometry import GRID
from edge_sam.imaging.view import TOKEN

Input = Literal[
    "image_tokens",
    "high_res_0",
    "high_res_1",
    "positions",
    "boxes",
    "point_coords",
    "point_labels",
    "mask_input",
    "has_mask_input",
    "image_size",
]
"""What an input of a decoder means."""
MAPS: tuple[Input, ...] = ("image_tokens", "high_res_0", "high_res_1")
"""The inputs that are feature maps of the encoder."""
IMAGE_SIZE = 256
"""Height and width that a decoder is told the photograph has. Its masks then are the low-res logits of the frame."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The names and the habits of an exporter's graphs.

    Attributes
    ----------
    name : str
        Name in manifests.
    makers : str
        Whose graphs these are.
    contract : Contract
        What the graphs exchange, in this package's terms.
    inputs : mapping of str to tuple of str
        Names that the decoder's inputs may have, by their meaning.
    optional : frozenset of str
        Meanings that a decoder may lack.
    logits, scores : tuple of str
        Names that the low-res logits and the predicted IoU may have, the best ones first.
    values : tuple of str
        What the encoder may take; the first is usual.
    pads_points : bool
        Whether the decoder appends a "not a point" to the points itself.
    boxes : bool
        Whether the decoder takes the corners of a box as points.
    most_points : int, optional
        Most points of one prompt, corners included.
    pixels : int
        Width and height of the frame in which the decoder counts the points' coordinates.
    """

    name: str
    makers: str
    contract: Contract
    inputs: Mapping[Input, tuple[str, ...]]
    optional: frozenset[Input] = frozenset()
    logits: tuple[str, ...]
    scores: tuple[str, ...]
    values: tuple[Values, ...] = ("normalised", "0-255", "0-1")
    pads_points: bool = False
    boxes: bool = True
    most_points: int | None = None
    pixels: int = GRID * TOKEN

    def bind(self, decoder: Component) -> dict[Input, TensorSpec] | None:
        """Return the decoder's inputs by meaning. None if it is not of this layout."""
        bound: dict[Input, TensorSpec] = {}
        for tensor in decoder.inputs:
            meaning = next((each for each, names in self.inputs.items() if tensor.name in names), None)
            if meaning is None or meaning in bound:
                return None
            bound[meaning] = tensor
        if self.inputs.keys() - self.optional - bound.keys():
            return None
        outputs = {tensor.name for tensor in decoder.outputs}
        found = outputs.intersection(self.logits) and outputs.intersection(self.scores)
        return bound if found else None

    def maps(self, encoder: Component) -> dict[Input, str] | None:
        """Return the names of the encoder's outputs that the decoder takes, by meaning. None if one is missing.

        They are told by their channels.
        """
        expected: dict[Input, int] = {"image_tokens": CHANNELS}
        for each in self.contract.high_res:
            expected[each.name] = each.channels
        found: dict[Input, str] = {}
        for meaning, channels in expected.items():
            fitting = [
                tensor.name
                for tensor in encoder.outputs
                if len(tensor.shape) == 4
                and tensor.shape[1] == channels
                and tensor.name not in self.inputs.get("positions", ())
            ]
            if len(fitting) != 1:
                return None
            found[meaning] = fitting[0]
        return found


@dataclass(frozen=True)
class Pixels:
    """How an encoder wants the pixels.

    Attributes
    ----------
    mean, std : tuple of float
        Normalisation of the channels R, G, B in pixel values, of the image that it is made from.
    values, channels : str
        See `edge_sam.bundles.manifest.ForeignLayout`.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    values: Values = "normalised"
    channels: Channels = "rgb"
