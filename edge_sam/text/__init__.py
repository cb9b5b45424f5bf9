"""Text prompts: words to masks, with a model that the user brings."""

from edge_sam.text.loading import load_matcher
from edge_sam.text.result import TextResult
from edge_sam.text.segmenter import TextSegmenter

__all__ = ["TextResult", "TextSegmenter", "load_matcher"]
