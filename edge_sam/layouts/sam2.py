"""SAM 2, as samexporter, X-AnyLabeling, Annotorious, osam and ONNX Runtime's tool export it."""

from __future__ import annotations

from edge_sam.bundles.contract import Contract, FeatureMap
from edge_sam.imaging.view import STRETCHED
from edge_sam.layouts.layout import Layout

SAM2_SQUARE = Contract(
    high_res=(FeatureMap("high_res_0", 4, 32), FeatureMap("high_res_1", 8, 64)),
    fit=STRETCHED,
    square=True,
    fixed=True,
    logit_limit=32,
)
"""SAM 2's contract, for an encoder of one size. Its decoders have three masks, so there is no single one to replace."""
SAM2 = Layout(
    name="sam2",
    makers="SAM 2 (samexporter, X-AnyLabeling, Annotorious, osam, ONNX Runtime)",
    contract=SAM2_SQUARE,
    inputs={
        "image_tokens": ("image_embed", "image_embeddings"),
        "high_res_0": ("high_res_feats_0", "high_res_features1", "image_features_0"),
        "high_res_1": ("high_res_feats_1", "high_res_features2", "image_features_1"),
        "point_coords": ("point_coords",),
        "point_labels": ("point_labels",),
        "mask_input": ("mask_input", "input_masks"),
        "has_mask_input": ("has_mask_input", "has_input_masks"),
        "image_size": ("orig_im_size", "original_image_size"),
    },
    optional=frozenset({"mask_input", "has_mask_input", "image_size"}),
    logits=("low_res_masks", "masks"),
    scores=("iou_predictions", "scores"),
    pads_points=True,
)
