"""Promptable segmentation (the Segment Anything family) on CPUs and embedded boards, without PyTorch."""

from edge_sam.camera import Stream
from edge_sam.embedding import ImageEmbedding
from edge_sam.errors import EdgeSamError, InputError
from edge_sam.everything import MaskGenerator
from edge_sam.loading import load
from edge_sam.predictor import Predictor
from edge_sam.prompts import Prompt
from edge_sam.result import Result
from edge_sam.runtimes import RuntimeUnavailableError

__version__ = "0.1.0"
__all__ = [
    "EdgeSamError",
    "ImageEmbedding",
    "InputError",
    "MaskGenerator",
    "Predictor",
    "Prompt",
    "Result",
    "RuntimeUnavailableError",
    "Stream",
    "load",
]
