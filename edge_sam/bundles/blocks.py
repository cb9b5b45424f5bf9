"""Names of the blocks that a model is made of, from the names of its nodes."""

from __future__ import annotations

from itertools import pairwise

OUTSIDE = "(outside blocks)"


def block_of(node: str) -> str | None:
    """Name the block of the model that a node belongs to, from the path that the exporter put in its name.

    ``/stages.0/stages.0.1/attention/MatMul_2`` is of ``stages.0.1/attention``: the outer of two modules of which one
    holds the other in its name says nothing more. Parts that begin with a capital are operators. None where there is
    no path: runtimes give names of their own to nodes that they make by fusion.
    """
    if not node.startswith("/"):
        return None
    path = [part for part in node.split("/") if part and not part[0].isupper()]
    inner = [part for part, following in pairwise([*path, ""]) if not following.startswith(part)]
    return "/".join(inner[:2]) or OUTSIDE
