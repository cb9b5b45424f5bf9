"""What a model's components exchange with the runtime, for each family (docs/bundle.md).

Exporter, bundle, guard and predictor take names and shapes from here. A bundle states its contract, so that none of
them knows a family by name.
"""

from __future__ import annotations

import warnings
from typing import Annotated, Literal, get_args

import msgspec

from edge_sam.imaging.geometry import CELL, GRID, LOGITS
from edge_sam.imaging.view import FRAME, PADDED, TOKEN, Fit

Role = Literal["encoder", "mask_encoder", "decoder", "upscaling", "constants", "probe"]
Shape = tuple[int | str, ...]
"""A string is a dynamic dimension."""

HighRes = Literal["high_res_0", "high_res_1"]
"""Names of further feature maps."""
HIGH_RES: tuple[HighRes, ...] = get_args(HighRes)
GRAPHS: tuple[Role, ...] = ("encoder", "mask_encoder", "decoder", "upscaling")
"""The components that may be graphs."""
CHANNELS = 256
"""Channels of an image token."""
MASKS = 4
"""Masks of a prompt: the single one, and the three of an ambiguous prompt."""
HYPER = CHANNELS // 8
"""Channels of the pixels that a mask's hyper-network weighs."""
TOKENS = (GRID, GRID, CHANNELS)
"""Image embedding of a padded frame."""
PROBE_GRID = (10, 16)
"""Rows and columns of image tokens of a probe image: small, with partial attention windows on both axes."""
INTEGERS = ("point_labels", "token_index", "token_size")
"""Inputs of type int64; all others are float32."""
ABSENT, NOT_A_POINT, TOP_LEFT, BOTTOM_RIGHT = -2, -1, 2, 3
"""Values of `point_labels` besides 1 (on the object) and 0 (off it). `ABSENT` fills up rows of unequal length."""


_WEIGHTED: dict[str, Shape] = {
    "image_tokens": ("one_or_prompts", "tokens", CHANNELS),
    "token_index": ("tokens",),
    "token_count": ("tokens",),
}


_UPSCALED: dict[str, Shape] = {
    "attended_tokens": ("prompts", "encoded_tokens", CHANNELS),
    "mask_weights": ("prompts", MASKS, HYPER),
}


class FeatureMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An output of the encoder beside the image embedding, for the decoder: (1, H / stride, W / stride, channels)."""

    name: HighRes
    stride: Literal[4, 8, 16]
    """Pixels of the encoder's input along one side of a cell."""
    channels: Annotated[int, msgspec.Meta(ge=1)]

    def size(self, rows: int, columns: int) -> tuple[int, int, int]:
        """Return the shape for a grid of image tokens, without the first axis."""
        cells = TOKEN // self.stride
        return cells * rows, cells * columns, self.channels


class Contract(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What encoder and decoder of a family exchange, and how their results are used.

    The defaults are those of SAM in bundles that do not state their contract, whose decoder takes the whole grid.

    Attributes
    ----------
    high_res : tuple of FeatureMap
        Further feature maps that the encoder makes and the decoder takes.
    fit : Fit
        How photographs are fitted into the encoder's input.
    square : bool
        Whether photographs are encoded as a square unless the user says otherwise.
    weighted_tokens : bool
        Whether the decoder takes a list of image tokens instead of the whole grid of the frame, with the place of each
        and the number of tokens that it stands for; see `edge_sam.inference.token_list`.
    separate_upscaling : bool
        Whether the component `upscaling` makes the logits, of what the decoder returns instead. So masks can be dropped
        by their predicted IoU before they are made.
    fixed : bool
        Whether the encoder takes nothing but a square of 1024 pixels. A view that asks for less has no effect.
    masks : bool
        Whether there is a mask encoder, for prompts with a mask.
    pad_boxes : bool
        Whether the decoder gets a "not a point" after the corners of a box too, not only after points alone.
    logit_limit : float, optional
        Low-res logits are clipped to plus and minus this before they are returned to serve as a mask prompt.
    single_stability : float
        Lowest stability of token 0's mask. The best of the three masks replaces a less stable one. 0: never.
    """

    high_res: tuple[FeatureMap, ...] = ()
    fit: Fit = PADDED
    square: bool = False
    weighted_tokens: bool = False
    separate_upscaling: bool = False
    fixed: bool = False
    masks: bool = True
    pad_boxes: bool = False
    logit_limit: Annotated[float, msgspec.Meta(gt=0)] | None = None
    single_stability: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0

    def __post_init__(self) -> None:
        if self.high_res and self.fit.padded and not self.fixed:
            raise ValueError("further feature maps need a grid without padding, or the whole frame")
        if self.weighted_tokens and not self.fit.padded:
            raise ValueError("only tokens of padding can stand for others")
        if self.separate_upscaling and not self.weighted_tokens:
            raise ValueError("a separate upscaling needs weighted tokens")
        if len({each.name for each in self.high_res}) < len(self.high_res):
            raise ValueError("two feature maps have the same name")

    def view(self, long_side: int, square: bool | None) -> tuple[int, bool]:
        """Return the long side and whether to encode a square, for what a caller asked for."""
        if self.fixed:
            return FRAME, True
        return long_side, self.square if square is None else square

    def requested_view(self, long_side: int, square: bool | None) -> tuple[int, bool]:
        """Return the same as `view`, and warn the caller of `Predictor.encode` if the request has no effect."""
        if self.fixed and (long_side != FRAME or square is False):
            warnings.warn(
                f"this model encodes a square of {FRAME} pixels only; long_side and square have no effect",
                stacklevel=4,
            )
        return self.view(long_side, square)

    @property
    def inputs(self) -> dict[Role, dict[str, Shape]]:
        """Inputs of each component that is a graph, in order."""
        tokens = self._tokens
        encoded: dict[str, Shape] = {"image_embedding": (1, *tokens), "mask": ("prompts", *self._cells)}
        return {
            "encoder": {"image": (1, 3, "height", "width")},
            **({"mask_encoder": encoded} if self.masks else {}),
            "decoder": {
                **(_WEIGHTED if self.weighted_tokens else {"image_tokens": ("one_or_prompts", *tokens)}),
                **self._high_res,
                "point_coords": ("prompts", "points", 2),
                "point_labels": ("prompts", "points"),
                **({"token_size": (2,)} if self.fit.padded else {}),
            },
            **(
                {"upscaling": {**_UPSCALED, "mask_weights": ("prompts", "masks", HYPER), "token_size": (2,)}}
                if self.separate_upscaling
                else {}
            ),
        }

    @property
    def outputs(self) -> dict[Role, dict[str, Shape]]:
        """Outputs of each component that is a graph, in order."""
        cells = ("height", "width") if self.fit.padded else self._cells
        encoded: dict[str, Shape] = {"image_tokens": ("prompts", *self._tokens)}
        return {
            "encoder": {"image_embedding": (1, "rows", "columns", CHANNELS), **self._high_res},
            **({"mask_encoder": encoded} if self.masks else {}),
            **self._decoder_outputs(cells),
        }

    @property
    def graphs(self) -> tuple[Role, ...]:
        """The components that are graphs."""
        return tuple(role for role in GRAPHS if role in self.inputs)

    @property
    def probe_grid(self) -> tuple[int, int]:
        """Rows and columns of image tokens of a probe image: `PROBE_GRID`, in whole multiples."""
        unit = self.fit.multiple // TOKEN
        rows, columns = (-(-side // unit) * unit for side in PROBE_GRID)
        return rows, columns

    @property
    def probed(self) -> dict[str, tuple[int, ...]]:
        """Reference outputs for the probe images, with shapes: two images with one click each."""
        rows, columns = self.probe_grid
        cells = TOKEN // CELL
        return {
            "image_embedding": (2, rows, columns, CHANNELS),
            **{each.name: (2, *each.size(rows, columns)) for each in self.high_res},
            "low_res_logits": (2, 4, cells * rows, cells * columns),
            "predicted_iou": (2, 4),
        }

    @property
    def constants(self) -> dict[str, tuple[int, ...]]:
        """Constant arrays of the model, with shapes."""
        pads = self.fit.padded and not self.fixed  # The embedding of a whole frame needs no filling up.
        return {**({"padding": TOKENS} if pads else {}), "no_mask": (CHANNELS,)}

    def _decoder_outputs(self, cells: Shape) -> dict[Role, dict[str, Shape]]:
        if self.separate_upscaling:
            logits: dict[str, Shape] = {"low_res_logits": ("prompts", "masks", *cells)}
            return {"decoder": {"predicted_iou": ("prompts", 4), **_UPSCALED}, "upscaling": logits}
        return {"decoder": {"low_res_logits": ("prompts", 4, *cells), "predicted_iou": ("prompts", 4)}}

    @property
    def _tokens(self) -> Shape:
        return TOKENS if self.fit.padded else ("rows", "columns", CHANNELS)

    @property
    def _cells(self) -> Shape:
        return (LOGITS, LOGITS) if self.fit.padded else _multiple(TOKEN // CELL)

    @property
    def _high_res(self) -> dict[str, Shape]:
        return {each.name: (1, *_multiple(TOKEN // each.stride), each.channels) for each in self.high_res}


def _multiple(cells: int) -> tuple[str, str]:
    """Name the dimensions of a map with so many cells along one side of a token."""
    return ("rows", "columns") if cells == 1 else (f"{cells}*rows", f"{cells}*columns")


GRID_SAM = Contract()
"""SAM's contract in bundles that do not state it."""
SAM = Contract(weighted_tokens=True, separate_upscaling=True)
