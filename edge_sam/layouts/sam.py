"""SAM and its small relatives, as segment-anything, samexporter and AnyLabeling export them."""

from __future__ import annotations

from edge_sam.bundles.contract import Contract
from edge_sam.layouts.layout import Layout

FIXED = Contract(square=True, fixed=True)
"""SAM's contract, for an encoder of one size."""
SAM = Layout(
    name="sam",
    makers="SAM (segment-anything, samexporter, AnyLabeling)",
    contract=FIXED,
    inputs={
        "image_tokens": ("image_embeddings", "image_embedding"),
        "point_coords": ("point_coords",),
        "point_labels": ("point_labels",),
        "mask_input": ("mask_input",),
        "has_mask_input": ("has_mask_input",),
        "image_size": ("orig_im_size",),
    },
    optional=frozenset({"mask_input", "has_mask_input", "image_size"}),
    logits=("low_res_masks", "masks"),
    scores=("iou_predictions",),
)
