"""From the names of Hugging Face's `SamModel` to those of the official checkpoints."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

MARK = "vision_encoder.pos_embed"
_DUPLICATE = "prompt_encoder.shared_embedding.positional_embedding"
_NAMES = (
    (r"shared_image_embedding\.positional_embedding", "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
    (r"vision_encoder\.patch_embed\.projection", "image_encoder.patch_embed.proj"),
    (r"vision_encoder\.layers\.(\d+)\.layer_norm", r"image_encoder.blocks.\1.norm"),
    (r"vision_encoder\.layers\.", "image_encoder.blocks."),
    (r"vision_encoder\.neck\.conv1", "image_encoder.neck.0"),
    (r"vision_encoder\.neck\.layer_norm1", "image_encoder.neck.1"),
    (r"vision_encoder\.neck\.conv2", "image_encoder.neck.2"),
    (r"vision_encoder\.neck\.layer_norm2", "image_encoder.neck.3"),
    (r"vision_encoder\.", "image_encoder."),
    (r"prompt_encoder\.mask_embed\.conv1", "prompt_encoder.mask_downscaling.0"),
    (r"prompt_encoder\.mask_embed\.layer_norm1", "prompt_encoder.mask_downscaling.1"),
    (r"prompt_encoder\.mask_embed\.conv2", "prompt_encoder.mask_downscaling.3"),
    (r"prompt_encoder\.mask_embed\.layer_norm2", "prompt_encoder.mask_downscaling.4"),
    (r"prompt_encoder\.mask_embed\.conv3", "prompt_encoder.mask_downscaling.6"),
    (r"prompt_encoder\.point_embed\.", "prompt_encoder.point_embeddings."),
    (r"mask_decoder\.transformer\.layers\.(\d+)\.layer_norm", r"mask_decoder.transformer.layers.\1.norm"),
    (r"mask_decoder\.transformer\.layer_norm_final_attn", "mask_decoder.transformer.norm_final_attn"),
    (r"mask_decoder\.upscale_conv1", "mask_decoder.output_upscaling.0"),
    (r"mask_decoder\.upscale_layer_norm", "mask_decoder.output_upscaling.1"),
    (r"mask_decoder\.upscale_conv2", "mask_decoder.output_upscaling.3"),
    (r"mask_decoder\.(output_hypernetworks_mlps\.\d|iou_prediction_head)\.proj_in", r"mask_decoder.\1.layers.0"),
    (r"mask_decoder\.(output_hypernetworks_mlps\.\d|iou_prediction_head)\.layers\.0", r"mask_decoder.\1.layers.1"),
    (r"mask_decoder\.(output_hypernetworks_mlps\.\d|iou_prediction_head)\.proj_out", r"mask_decoder.\1.layers.2"),
)
"""Starts of their names, and what the official checkpoints have. The first that fits counts."""


def official_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors under the official names. Those of other checkpoints stay as they are."""
    if MARK not in tensors:
        return dict(tensors)
    return {_official(name): tensor for name, tensor in tensors.items() if name != _DUPLICATE}


def _official(name: str) -> str:
    for theirs, ours in _NAMES:
        found = re.match(theirs, name)
        if found:
            return found.expand(ours) + name[found.end() :]
    return name
