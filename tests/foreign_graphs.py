"""Small graphs with the names, types and shapes of other exporters. They segment what has the colour of the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_sam.bundles.manifest import Values

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_KINDS = {
    "float": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "uint8": TensorProto.UINT8,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
}
_THRESHOLD = 0.5
"""Squared distance of colours, in standard deviations, up to which a token belongs to the object."""
_STEEPNESS = 20
"""Steep logits make stable masks."""
SCORES = {1: [0.9], 3: [0.8, 0.95, 0.7], 4: [0.6, 0.8, 0.95, 0.7]}
"""Predicted IoU by the number of masks."""


class _Graph:
    """Nodes and constants of a graph in the making."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: Any, kind: Any = np.float32) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def floats(self, name: str, kind: str) -> str:
        """Return an input as float32."""
        return name if kind == "float" else self.node("Cast", name, to=TensorProto.FLOAT)

    def output(self, tensor: str, name: str) -> None:
        self.nodes.append(helper.make_node("Identity", [tensor], [name]))

    def save(self, path: Path, inputs: Sequence[Any], outputs: Sequence[str], opset: int) -> Path:
        results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "graph", inputs, results, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        onnx.save(model, path)
        return path


@dataclass(frozen=True)
class Encoder:
    """An encoder: its one input and its outputs, with the number of channels and the pixels along a cell."""

    name: str = "input_image"
    shape: tuple[int | str, ...] = (1, 3, 1024, 1024)
    kind: str = "float"
    takes: Values = "normalised"
    maps: dict[str, tuple[int, int]] = field(default_factory=lambda: {"image_embeddings": (256, 16)})
    positions: str = ""
    opset: int = 17

    def save(self, path: Path) -> Path:
        graph = _Graph()
        pixels = graph.floats(self.name, self.kind)
        if self.shape[-1] == 3:
            pixels = graph.node("Transpose", pixels, perm=[2, 0, 1])
        if len(self.shape) == 3:
            pixels = graph.node("Unsqueeze", pixels, graph.constant([0], np.int64))
        if self.takes != "normalised":
            scale = 255 if self.takes == "0-255" else 1
            mean, std = (graph.constant(np.array(each).reshape(1, 3, 1, 1) * scale) for each in (_MEAN, _STD))
            pixels = graph.node("Div", graph.node("Sub", pixels, mean), std)
        for name, (channels, stride) in self.maps.items():
            cells = graph.node("AveragePool", pixels, kernel_shape=[stride, stride], strides=[stride, stride])
            graph.output(graph.node("Conv", cells, graph.constant(_colours(channels))), name)
        names = list(self.maps)
        if self.positions:
            graph.output(graph.constant(np.full((1, 256, 64, 64), 0.25)), self.positions)
            names.append(self.positions)
        given = helper.make_tensor_value_info(self.name, _KINDS[self.kind], self.shape)
        return graph.save(path, [given], names, self.opset)


def _colours(channels: int) -> np.ndarray:
    """Turn colours into that many channels, keeping distances."""
    random = np.random.default_rng(channels).normal(size=(channels, 3))
    return np.linalg.qr(random)[0].reshape(channels, 3, 1, 1)


@dataclass(frozen=True)
class Decoder:
    """A decoder: names, types and shapes of its inputs, and names of its outputs in order."""

    inputs: dict[str, tuple[str, tuple[int | str, ...]]]
    tokens: str = "image_embeddings"
    coords: str = "point_coords"
    labels: str = "point_labels"
    mask: str = "mask_input"
    has_mask: str = "has_mask_input"
    size: str = ""
    positions: str = ""
    boxes: str = ""
    outputs: tuple[str, ...] = ("masks", "iou_predictions", "low_res_masks")
    masks: int = 4
    original_pixels: bool = False
    lead: tuple[int, ...] = (1,)

    def save(self, path: Path) -> Path:
        graph = _Graph()
        floats = {name: graph.floats(name, kind) for name, (kind, _) in self.inputs.items()}
        low = self._logits(graph, floats)
        if self.mask in floats:
            asked = graph.node("Mul", floats[self.mask], graph.node("Reshape", floats[self.has_mask], _ints(graph, 1)))
            low = graph.node("Add", low, asked)
        low = graph.node("Add", low, graph.constant(np.linspace(0, 0.1, self.masks).reshape(1, -1, 1, 1)))
        scores = graph.constant(np.reshape(SCORES[self.masks], (*self.lead, -1)))
        large = low
        if self.size:
            start = graph.constant([1, self.masks], np.int64)
            end = graph.node("Cast", self.size, to=TensorProto.INT64)
            sizes = graph.node("Concat", start, end, axis=0)
            large = graph.node("Resize", low, "", "", sizes, mode="linear")
        for name in self.outputs:
            if "iou" in name or "score" in name:
                graph.output(scores, name)
                continue
            plane = large if name in ("masks", "output_masks") else low
            shape = graph.node("Shape", plane, start=-3)
            whole = graph.node("Concat", _ints(graph, *self.lead), shape, axis=0)
            graph.output(graph.node("Reshape", plane, whole), name)
        given = [
            helper.make_tensor_value_info(name, _KINDS[kind], shape) for name, (kind, shape) in self.inputs.items()
        ]
        return graph.save(path, given, self.outputs, 17)

    def _logits(self, graph: _Graph, floats: dict[str, str]) -> str:
        """Compare each token with the one at the point, or in the middle of the box: (1, 1, 256, 256)."""
        coords = graph.node("Reshape", floats[self.coords], _ints(graph, -1, 2))
        labels = graph.node("Reshape", floats[self.labels], _ints(graph, -1, 1))
        if self.boxes:
            corners = graph.node("Reshape", floats[self.boxes], _ints(graph, -1, 2))
            coords = graph.node("Concat", coords, corners, axis=0)
            twos = graph.node("Mul", graph.node("ReduceSum", corners, _ints(graph, 1), keepdims=1), graph.constant([0]))
            labels = graph.node("Concat", labels, graph.node("Add", twos, graph.constant([2])), axis=0)
        on = graph.node("Cast", graph.node("Greater", labels, graph.constant([0.5])), to=TensorProto.FLOAT)
        count = graph.node("Max", graph.node("ReduceSum", on, _ints(graph, 0), keepdims=0), graph.constant([1e-6]))
        point = graph.node("ReduceSum", graph.node("Mul", coords, on), _ints(graph, 0), keepdims=0)
        point = graph.node("Div", point, count)
        if self.original_pixels:
            point = graph.node("Div", graph.node("Mul", point, graph.constant([1024])), floats[self.size])
        cell = graph.node("Clip", graph.node("Div", point, graph.constant([16])), *_bounds(graph))
        cell = graph.node("Cast", graph.node("Floor", cell), to=TensorProto.INT64)
        column, row = (graph.node("Gather", cell, _ints(graph, i)) for i in (0, 1))
        tokens = floats[self.tokens]
        if self.positions:  # As a decoder would use them: they change nothing if they are those of the encoder.
            off = graph.node("Sub", floats[self.positions], graph.constant([0.25]))
            tokens = graph.node("Add", tokens, graph.node("Mul", off, graph.constant([100])))
        chosen = graph.node("Gather", graph.node("Gather", tokens, column, axis=3), row, axis=2)
        different = graph.node("Sub", tokens, chosen)
        squares = graph.node("Mul", different, different)
        distance = graph.node("ReduceSum", squares, _ints(graph, 1), keepdims=1)
        logits = graph.node("Sub", graph.constant([_THRESHOLD]), distance)
        logits = graph.node("Mul", logits, graph.constant([_STEEPNESS]))
        return graph.node("Resize", logits, "", graph.constant([1, 1, 4, 4]), mode="linear")


def _ints(graph: _Graph, *values: int) -> str:
    return graph.constant(values, np.int64)


def _bounds(graph: _Graph) -> tuple[str, str]:
    return graph.constant(0.0), graph.constant(63.0)


_SAM_INPUTS: dict[str, tuple[str, tuple[int | str, ...]]] = {
    "image_embeddings": ("float", (1, 256, 64, 64)),
    "point_coords": ("float", (1, "num_points", 2)),
    "point_labels": ("float", (1, "num_points")),
    "mask_input": ("float", (1, 1, 256, 256)),
    "has_mask_input": ("float", (1,)),
    "orig_im_size": ("float", (2,)),
}
SAM = Decoder(_SAM_INPUTS, size="orig_im_size")
EDGE_SAM = Decoder(dict(list(_SAM_INPUTS.items())[:3]), outputs=("scores", "masks"))
_SAM2_POINTS: dict[str, tuple[str, tuple[int | str, ...]]] = {
    "point_coords": ("float", ("num_labels", "num_points", 2)),
    "point_labels": ("float", ("num_labels", "num_points")),
    "mask_input": ("float", ("num_labels", 1, 256, 256)),
    "has_mask_input": ("float", ("num_labels",)),
}
_HIGH_RES: dict[str, tuple[str, tuple[int | str, ...]]] = {
    "high_res_feats_0": ("float", (1, 32, 256, 256)),
    "high_res_feats_1": ("float", (1, 64, 128, 128)),
}
SAM2 = Decoder(
    {"image_embed": _SAM_INPUTS["image_embeddings"], **_HIGH_RES, **_SAM2_POINTS},
    tokens="image_embed",
    outputs=("masks", "iou_predictions"),
    masks=3,
)
SAM2_SIZED = replace(SAM2, inputs={**SAM2.inputs, "orig_im_size": ("int32", (2,))}, size="orig_im_size")
SAM2_MAPS = {"high_res_feats_0": (32, 4), "high_res_feats_1": (64, 8), "image_embed": (256, 16)}
OSAM_SAM2 = Decoder(
    {
        "image_embeddings": _SAM_INPUTS["image_embeddings"],
        "high_res_features1": _HIGH_RES["high_res_feats_0"],
        "high_res_features2": _HIGH_RES["high_res_feats_1"],
        **_SAM2_POINTS,
        "orig_im_size": ("int64", (2,)),
    },
    size="orig_im_size",
    masks=3,
)
OSAM_MAPS = {"image_embeddings": (256, 16), "high_res_features1": (32, 4), "high_res_features2": (64, 8)}
EFFICIENT_SAM = Decoder(
    {
        "image_embeddings": ("float", ("batch_size", 256, 64, 64)),
        "batched_point_coords": ("float", (1, 1, "num_points", 2)),
        "batched_point_labels": ("float", (1, 1, "num_points")),
        "orig_im_size": ("int64", (2,)),
    },
    coords="batched_point_coords",
    labels="batched_point_labels",
    size="orig_im_size",
    outputs=("output_masks", "iou_predictions", "1829"),
    masks=3,
    original_pixels=True,
    lead=(1, 1),
)
_HF_POINTS: dict[str, tuple[str, tuple[int | str, ...]]] = {
    "input_points": ("float", ("batch_size", "point_batch_size", "nb_points_per_image", 2)),
    "input_labels": ("int64", ("batch_size", "point_batch_size", "nb_points_per_image")),
}
HF_SAM = Decoder(
    {
        "image_positional_embeddings": ("float", ("batch_size", 256, 64, 64)),
        "image_embeddings": ("float", ("batch_size", 256, 64, 64)),
        **_HF_POINTS,
    },
    coords="input_points",
    labels="input_labels",
    positions="image_positional_embeddings",
    outputs=("iou_scores", "pred_masks"),
    masks=3,
    lead=(1, 1),
)
HF_SAM2 = Decoder(
    {
        "image_embeddings.0": ("float", ("batch_size", 32, 256, 256)),
        "image_embeddings.1": ("float", ("batch_size", 64, 128, 128)),
        "image_embeddings.2": ("float", ("batch_size", 256, 64, 64)),
        **_HF_POINTS,
        "input_boxes": ("float", ("batch_size", "nb_boxes", 4)),
    },
    tokens="image_embeddings.2",
    coords="input_points",
    labels="input_labels",
    boxes="input_boxes",
    outputs=("iou_scores", "pred_masks", "object_score_logits"),
    masks=3,
    lead=(1, 1),
)
HF_MAPS = {"image_embeddings.0": (32, 4), "image_embeddings.1": (64, 8), "image_embeddings.2": (256, 16)}
