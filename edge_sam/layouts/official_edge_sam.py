"""EdgeSAM (the model), as its own repository and X-AnyLabeling export it: scores first, and no mask prompt."""

from __future__ import annotations

from edge_sam.layouts.layout import Layout
from edge_sam.layouts.sam import FIXED

EDGE_SAM = Layout(
    name="edge-sam",
    makers="EdgeSAM (its own export)",
    contract=FIXED,
    inputs={
        "image_tokens": ("image_embeddings",),
        "point_coords": ("point_coords",),
        "point_labels": ("point_labels",),
    },
    logits=("masks",),
    scores=("scores",),
    pads_points=True,
)
