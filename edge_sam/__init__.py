"""Promptable segmentation (the Segment Anything family) on CPUs and embedded boards, without PyTorch."""

from pathlib import Path

# In a clone the folders `runtimes`, `quantize` and `export` lie beside this one. An installer puts them inside, but
# Python prefers the clone to what is installed where the clone is the working folder.
if not Path(__file__).with_name("runtimes").exists():
    __path__.append(str(Path(__file__).parent.parent))

from edge_sam import compat
from edge_sam.camera import Stream
from edge_sam.embedding import ImageEmbedding
from edge_sam.errors import EdgeSamError, InputError, RuntimeUnavailableError
from edge_sam.everything import MaskGenerator
from edge_sam.loading import load
from edge_sam.predictor import Predictor
from edge_sam.prompts import Prompt
from edge_sam.result import Result
from edge_sam.text import TextResult, TextSegmenter, load_matcher
from edge_sam.version import __version__

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
    "TextResult",
    "TextSegmenter",
    "__version__",
    "compat",
    "load",
    "load_matcher",
]
