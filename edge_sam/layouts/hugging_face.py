"""SAM and SAM 2 as Hugging Face's Optimum exports them: `vision_encoder` and `prompt_encoder_mask_decoder`."""

from __future__ import annotations

from edge_sam.layouts.layout import Layout
from edge_sam.layouts.sam import FIXED
from edge_sam.layouts.sam2 import SAM2_SQUARE

HF_SAM = Layout(
    name="hf-sam",
    makers="SAM (Hugging Face)",
    contract=FIXED,
    inputs={
        "image_tokens": ("image_embeddings",),
        "positions": ("image_positional_embeddings",),
        "point_coords": ("input_points",),
        "point_labels": ("input_labels",),
    },
    logits=("pred_masks",),
    scores=("iou_scores",),
    pads_points=True,
    boxes=False,
)
HF_SAM2 = Layout(
    name="hf-sam2",
    makers="SAM 2 and EdgeTAM (Hugging Face)",
    contract=SAM2_SQUARE,
    inputs={
        "image_tokens": ("image_embeddings.2",),
        "high_res_0": ("image_embeddings.0",),
        "high_res_1": ("image_embeddings.1",),
        "point_coords": ("input_points",),
        "point_labels": ("input_labels",),
        "boxes": ("input_boxes",),
    },
    optional=frozenset({"boxes"}),
    logits=("pred_masks",),
    scores=("iou_scores",),
    pads_points=True,
)
