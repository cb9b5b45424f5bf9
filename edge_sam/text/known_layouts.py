"""The layouts that are known, and which of them graphs are of."""

from __future__ import annotations

from collections.abc import Sequence

from edge_sam.errors import InputError
from edge_sam.text.clip import CLIP, CLIP_WHOLE
from edge_sam.text.graphs import Graph
from edge_sam.text.grounding_dino import GROUNDING_DINO, HF_GROUNDING_DINO
from edge_sam.text.matcher_files import MatcherLayout
from edge_sam.text.owl import OWL
from edge_sam.text.yolo_world import YOLO_WORLD

LAYOUTS = {each.name: each for each in (OWL, HF_GROUNDING_DINO, GROUNDING_DINO, YOLO_WORLD, CLIP_WHOLE, CLIP)}
"""By name, in the order in which they are tried."""


def find_layout(graphs: Sequence[Graph]) -> tuple[MatcherLayout, dict[str, Graph]]:
    """Return the layout of graphs, and the graphs by part.

    Raises
    ------
    InputError
        They are of no known layout, or only a part of one.
    """
    for layout in LAYOUTS.values():
        parts = layout.bind(graphs)
        if parts is not None:
            return layout, parts
    what = "; ".join(
        f"{graph.path.name} takes {', '.join(graph.inputs) or 'nothing'} and gives {', '.join(graph.outputs)}"
        for graph in graphs
    )
    raise InputError(f"no text model of a known layout ({what}); docs/text.md lists the layouts that are known")
