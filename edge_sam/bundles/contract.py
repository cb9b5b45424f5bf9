"""Inputs and outputs of a model's components, shared by exporter, bundle and runtimes (docs/bundle.md)."""

from __future__ import annotations

from typing import Literal

from edge_sam.imaging.geometry import GRID, LOGITS

Role = Literal["encoder", "mask_encoder", "decoder", "constants", "probe"]
Shape = tuple[int | str, ...]
"""A string is a dynamic dimension."""

CHANNELS = 256
"""Channels of an image token."""
TOKENS = (GRID, GRID, CHANNELS)
INPUTS: dict[Role, dict[str, Shape]] = {
    "encoder": {"image": (1, 3, "height", "width")},
    "mask_encoder": {"image_embedding": (1, *TOKENS), "mask": ("prompts", LOGITS, LOGITS)},
    "decoder": {
        "image_tokens": ("one_or_prompts", *TOKENS),
        "point_coords": ("prompts", "points", 2),
        "point_labels": ("prompts", "points"),
        "token_size": (2,),
    },
}
"""Inputs of each component that is a graph, in order."""
OUTPUTS: dict[Role, dict[str, Shape]] = {
    "encoder": {"image_embedding": (1, "rows", "columns", CHANNELS)},
    "mask_encoder": {"image_tokens": ("prompts", *TOKENS)},
    "decoder": {"low_res_logits": ("prompts", 4, "height", "width"), "predicted_iou": ("prompts", 4)},
}
PROBE_GRID = (10, 16)
"""Rows and columns of image tokens of a probe image: small, with partial attention windows on both axes."""
PROBED: dict[str, tuple[int, ...]] = {
    "image_embedding": (2, *PROBE_GRID, CHANNELS),
    "low_res_logits": (2, 4, 4 * PROBE_GRID[0], 4 * PROBE_GRID[1]),
    "predicted_iou": (2, 4),
}
"""Reference outputs for the probe images, with shapes: two images with one click each."""
INTEGERS = ("point_labels", "token_size")
"""Inputs of type int64; all others are float32."""
