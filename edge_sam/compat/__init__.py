"""The names and arrays of the reference implementations, for code that was written for them (docs/migrating.md).

Change ``from segment_anything import …`` or ``from mobile_sam import …`` to ``from edge_sam.compat import …``.
"""

from edge_sam.compat.generator import SamAutomaticMaskGenerator
from edge_sam.compat.image_predictor import ImageNotSetError
from edge_sam.compat.registry import Sam, sam_model_registry
from edge_sam.compat.sam import SamPredictor
from edge_sam.compat.sam2 import SAM2ImagePredictor

__all__ = [
    "ImageNotSetError",
    "SAM2ImagePredictor",
    "Sam",
    "SamAutomaticMaskGenerator",
    "SamPredictor",
    "sam_model_registry",
]
