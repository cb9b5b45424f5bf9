"""The families SAM 2 and 2.1, whose image parts have the same tensors."""

from __future__ import annotations

from edge_sam.bundles.contract import CHANNELS
from edge_sam.export.family import Family, Signature
from edge_sam.export.sam2_decoder import Sam2MaskDecoder
from edge_sam.export.sam2_encoder import Sam2Encoder

_EMBEDDING = (1, "rows", "columns", CHANNELS)
_HIGH_RES = {
    "high_res_0": (1, "4*rows", "4*columns", CHANNELS // 8),
    "high_res_1": (1, "2*rows", "2*columns", CHANNELS // 4),
}

_SIGNATURE = Signature(
    inputs={
        "encoder": {"image": (1, 3, "height", "width")},
        "mask_encoder": {"image_embedding": _EMBEDDING, "mask": ("prompts", "4*rows", "4*columns")},
        "decoder": {
            "image_tokens": ("one_or_prompts", "rows", "columns", CHANNELS),
            **_HIGH_RES,
            "point_coords": ("prompts", "points", 2),
            "point_labels": ("prompts", "points"),
        },
    },
    outputs={
        "encoder": {"image_embedding": _EMBEDDING, **_HIGH_RES},
        "mask_encoder": {"image_tokens": ("prompts", "rows", "columns", CHANNELS)},
        "decoder": {"low_res_logits": ("prompts", 4, "4*rows", "4*columns"), "predicted_iou": ("prompts", 4)},
    },
)

_VIDEO = (
    *("memory_attention.", "memory_encoder.", "maskmem_tpos_enc", "no_mem_pos_enc", "no_obj_", "mask_downsample."),
    *("obj_ptr_", "mask_decoder.pred_obj_score_head."),
)

SAM2 = Family(
    name="sam2",
    title="SAM 2",
    mark="image_encoder.trunk.pos_embed_window",
    url="https://github.com/facebookresearch/sam2",
    license="Apache-2.0",
    notice="""\
SAM 2, copyright Meta Platforms, Inc. and affiliates, Apache License 2.0.""",
    licenses=("Apache-2.0.txt",),
    pixel_mean=(123.675, 116.28, 103.53),
    pixel_std=(58.395, 57.12, 57.375),
    encoder=Sam2Encoder,
    decoder=Sam2MaskDecoder,
    free_grid=True,
    signature=_SIGNATURE,
    renamed=(
        ("sam_prompt_encoder.", "prompt_encoder."),
        ("sam_mask_decoder.", "mask_decoder."),
        (".mlp.layers.0.", ".mlp.lin1."),
        (".mlp.layers.1.", ".mlp.lin2."),
    ),
    unused=_VIDEO,
)
