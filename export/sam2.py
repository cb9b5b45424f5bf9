"""The families SAM 2 and 2.1, whose image parts have the same tensors."""

from __future__ import annotations

from edge_sam.bundles.contract import Contract, FeatureMap
from edge_sam.export.family import Family
from edge_sam.export.sam2_decoder import Sam2MaskDecoder
from edge_sam.export.sam2_encoder import Sam2Encoder
from edge_sam.imaging.view import STRETCHED

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
    encoder=Sam2Encoder,
    decoder=Sam2MaskDecoder,
    contract=Contract(
        high_res=(FeatureMap("high_res_0", 4, 32), FeatureMap("high_res_1", 8, 64)),
        fit=STRETCHED,
        square=True,  # docs/lab/sam2.md
        pad_boxes=True,
        logit_limit=32,
        single_stability=0.98,
    ),
    renamed=(
        ("sam_prompt_encoder.", "prompt_encoder."),
        ("sam_mask_decoder.", "mask_decoder."),
        (".mlp.layers.0.", ".mlp.lin1."),
        (".mlp.layers.1.", ".mlp.lin2."),
    ),
    unused=_VIDEO,
)
