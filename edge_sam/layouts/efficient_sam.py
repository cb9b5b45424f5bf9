"""EfficientSAM, as its own repository exports it: coordinates in pixels of the photograph, colours from 0 to 1."""

from __future__ import annotations

from edge_sam.bundles.contract import Contract
from edge_sam.imaging.view import Fit
from edge_sam.layouts.layout import IMAGE_SIZE, Layout

EFFICIENT_SAM = Layout(
    name="efficient-sam",
    makers="EfficientSAM (its own export)",
    contract=Contract(fit=Fit(padded=False), square=True, fixed=True),
    inputs={
        "image_tokens": ("image_embeddings",),
        "point_coords": ("batched_point_coords",),
        "point_labels": ("batched_point_labels",),
        "image_size": ("orig_im_size",),
    },
    logits=("output_masks",),
    scores=("iou_predictions",),
    values=("0-1", "0-255", "normalised"),
    most_points=6,
    pixels=IMAGE_SIZE,
    pads_points=True,
)
