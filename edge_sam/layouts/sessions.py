"""Graphs of other exporters behind the names and layouts of this package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sam.bundles.contract import ABSENT, NOT_A_POINT, TOP_LEFT
from edge_sam.bundles.manifest import Component, TensorSpec
from edge_sam.errors import InputError
from edge_sam.imaging.geometry import CELL, LOGITS
from edge_sam.imaging.view import FRAME, TOKEN
from edge_sam.layouts.layout import IMAGE_SIZE, MAPS, Input, Layout, Pixels
from edge_sam.runtimes import Session, Tensors

MASKS = 4
"""Masks of an answer: the single one and the three of an ambiguous prompt."""


class ForeignEncoder(Session):
    """An image encoder.

    Parameters
    ----------
    inner : Session
        The graph.
    component : Component
        Its entry in the manifest.
    layout : Layout
        Its layout.
    pixels : Pixels
        How it wants the pixels.
    """

    def __init__(self, inner: Session, component: Component, layout: Layout, pixels: Pixels) -> None:
        maps = layout.maps(component)
        if maps is None or len(component.inputs) != 1:
            raise InputError(f"{component.file} is not an encoder of {layout.makers}")
        self._inner, self._input, self._maps, self._pixels = inner, component.inputs[0], maps, pixels
        self.provider, self.input_names = inner.provider, ["image"]

    def run(self, inputs: Mapping[str, Any]) -> Tensors:
        """See `Session.run`. `image` is (1, 3, 1024, 1024), normalised."""
        outputs = self._inner.run(self._fed(inputs))
        return {
            "image_embedding" if meaning == "image_tokens" else meaning: _channels_last(outputs[name])
            for meaning, name in self._maps.items()
        }

    def warm_up(self, inputs: Mapping[str, Any]) -> None:
        """See `Session.warm_up`."""
        self._inner.warm_up(self._fed(inputs))

    def release_memory(self) -> None:
        """See `Session.release_memory`."""
        self._inner.release_memory()

    def _fed(self, inputs: Mapping[str, Any]) -> Tensors:
        return {self._input.name: encoder_pixels(inputs["image"], self._input, self._pixels)}


def encoder_pixels(image: NDArray[np.float32], spec: TensorSpec, pixels: Pixels) -> NDArray[Any]:
    """Convert (1, 3, H, W) normalised RGB to what an encoder takes."""
    frame = image[0]
    if pixels.values != "normalised":
        std, mean = (np.array(each, np.float32)[:, None, None] for each in (pixels.std, pixels.mean))
        frame = frame * std + mean
        if pixels.values == "0-1":
            frame = frame / np.float32(255)
    if pixels.channels == "bgr":
        frame = frame[::-1]
    if spec.shape[-1] == 3:  # Channels last.
        frame = frame.transpose(1, 2, 0)
    if np.issubdtype(np.dtype(spec.dtype), np.integer):
        frame = np.rint(frame).clip(0, 255)
    return np.ascontiguousarray(frame if len(spec.shape) == 3 else frame[None], dtype=spec.dtype)


class MaskPrompt(Session):
    """In the place of a mask encoder: hands the mask prompt on to the decoder, which encodes it itself."""

    def __init__(self, layout: Layout, decoder: ForeignDecoder) -> None:
        self._layout, self._takes_masks = layout, decoder.takes_masks
        self.provider, self.input_names = decoder.provider, ["image_embedding", "mask"]

    def run(self, inputs: Mapping[str, Any]) -> Tensors:
        """See `Session.run`. Raises `InputError` if the decoder takes no mask prompt."""
        if not self._takes_masks:
            raise InputError(f"this model takes no mask prompt, as is usual for {self._layout.makers}; leave it out")
        return {"image_tokens": inputs["image_embedding"], "mask_input": inputs["mask"]}


@dataclass(frozen=True)
class _Uploaded:
    """A feature map on the decoder's device, channels first."""

    value: Any


class ForeignDecoder(Session):
    """A prompt encoder and mask decoder. It asks the graph for one prompt at a time.

    Parameters
    ----------
    inner : Session
        The graph.
    component : Component
        Its entry in the manifest.
    layout : Layout
        Its layout.
    positions : ndarray of float32, (1, 256, 64, 64), optional
        The encoder's positions of the image tokens, which are always the same, if the decoder takes them.
    """

    def __init__(
        self, inner: Session, component: Component, layout: Layout, positions: NDArray[np.float32] | None = None
    ) -> None:
        bound = layout.bind(component)
        if bound is None:
            raise InputError(f"{component.file} is not a decoder of {layout.makers}")
        self._inner, self._bound, self._layout, self._positions = inner, bound, layout, positions
        names = {tensor.name for tensor in component.outputs}
        self._logits = next(name for name in layout.logits if name in names)
        self._scores = next(name for name in layout.scores if name in names)
        self.provider, self.input_names = inner.provider, ["image_tokens", "point_coords", "point_labels"]

    @property
    def takes_masks(self) -> bool:
        """Whether there is an input for a mask prompt."""
        return "mask_input" in self._bound

    def upload(self, array: NDArray[Any]) -> Any:
        """See `Session.upload`. Feature maps are turned to channels first, once for all prompts."""
        turned = _channels_first(array).astype(self._bound["image_tokens"].dtype, copy=False)
        return _Uploaded(self._inner.upload(turned))

    def run(self, inputs: Mapping[str, Any]) -> Tensors:
        """See `Session.run`. `mask_input` (N, 256, 256) is added to the inputs of docs/bundle.md."""
        maps: dict[Input, Any] = {
            name: each.value if isinstance(each := inputs[name], _Uploaded) else _channels_first(each)
            for name in MAPS
            if name in inputs
        }
        masks = inputs.get("mask_input")
        answers = [
            self._ask(maps, coords, labels, None if masks is None else masks[i])
            for i, (coords, labels) in enumerate(zip(inputs["point_coords"], inputs["point_labels"], strict=True))
        ]
        logits, scores = (np.stack(each) for each in zip(*answers, strict=True))
        if "token_size" in inputs:
            rows, columns = inputs["token_size"] * (TOKEN // CELL)
            logits = np.ascontiguousarray(logits[..., :rows, :columns])
        return {"low_res_logits": logits, "predicted_iou": scores}

    def _ask(
        self,
        maps: Mapping[Input, Any],
        coords: NDArray[np.float32],
        labels: NDArray[np.int64],
        mask: NDArray[np.float32] | None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        boxes = np.zeros((0, 4), np.float32)
        if "boxes" in self._bound:  # Corners are no points here.
            corners = labels >= TOP_LEFT
            boxes, coords, labels = coords[corners].reshape(-1, 4), coords[~corners], labels[~corners]
        coords, labels = self._points(coords, labels)
        values: dict[Input, Any] = {
            **maps,
            "positions": self._positions,
            "boxes": boxes,
            "point_coords": coords * np.float32(self._layout.pixels / FRAME),
            "point_labels": labels,
            "mask_input": np.zeros((LOGITS, LOGITS), np.float32) if mask is None else mask,
            "has_mask_input": np.array(mask is not None),
            "image_size": np.array([IMAGE_SIZE, IMAGE_SIZE]),
        }
        fed = {tensor.name: _shaped(values[meaning], tensor) for meaning, tensor in self._bound.items()}
        outputs = self._inner.run(fed)
        return four_masks(outputs[self._logits], outputs[self._scores])

    def _points(
        self, coords: NDArray[np.float32], labels: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the points as the graph wants them."""
        layout = self._layout
        shape = self._bound["point_labels"].shape
        fixed = shape[-1] if isinstance(shape[-1], int) else None
        kept = labels != ABSENT
        if layout.pads_points or fixed:
            kept &= labels != NOT_A_POINT
        coords, labels = coords[kept], labels[kept]
        if not layout.boxes and (labels >= TOP_LEFT).any():
            raise InputError(f"this model takes no boxes, as is usual for {layout.makers}; give points")
        most = fixed or layout.most_points
        if most is not None and len(labels) > most:
            raise InputError(f"a prompt has {len(labels)} points, box corners included; this model takes {most}")
        missing = (fixed or max(1, len(labels))) - len(labels)
        if missing:
            coords = np.concatenate([coords, np.zeros((missing, 2), np.float32)])
            labels = np.concatenate([labels, np.full(missing, NOT_A_POINT)])
        return coords, labels


def four_masks(
    logits: NDArray[np.floating], scores: NDArray[np.floating]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (4, 256, 256) low-res logits and (4,) predicted IoU from one, three or four masks.

    One mask takes all places. The best of three takes the place of the single one.
    """
    planes = logits.reshape(-1, *logits.shape[-2:]).astype(np.float32)
    quality = scores.reshape(-1).astype(np.float32)
    if len(planes) != len(quality) or len(planes) not in (1, 3, MASKS):
        raise InputError(f"the decoder gives {len(planes)} masks with {len(quality)} scores; expected 1, 3 or 4")
    if planes.shape[1:] != (LOGITS, LOGITS):
        planes = np.stack([cv2.resize(each, (LOGITS, LOGITS), interpolation=cv2.INTER_LINEAR) for each in planes])
    chosen = {1: [0, 0, 0, 0], 3: [int(quality.argmax()), 0, 1, 2], MASKS: [0, 1, 2, 3]}[len(planes)]
    return planes[chosen], quality[chosen]


def _shaped(value: Any, spec: TensorSpec) -> Any:
    """Put axes of length 1 before a value, up to the rank of an input, and convert it to the input's type."""
    if not isinstance(value, np.ndarray) or (value.ndim == len(spec.shape) and value.dtype == spec.dtype):
        return value  # On a device, or as it should be.
    return np.ascontiguousarray(value.reshape((1,) * (len(spec.shape) - value.ndim) + value.shape), dtype=spec.dtype)


def _channels_last(array: NDArray[Any]) -> NDArray[np.float32]:
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1), dtype=np.float32)


def _channels_first(array: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(array.transpose(0, 3, 1, 2))
