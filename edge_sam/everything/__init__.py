"""Everything mode: all masks of a photograph (arXiv 2304.02643, appendix B), in a fraction of the usual prompts."""

from edge_sam.everything.generator import MaskGenerator, Update
from edge_sam.everything.search import Found

__all__ = ["Found", "MaskGenerator", "Update"]
