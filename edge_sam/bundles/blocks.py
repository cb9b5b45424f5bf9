"""Names of a model's blocks, derived from the names of its nodes."""

from __future__ import annotations

from itertools import pairwise

OUTSIDE = "(outside blocks)"


def block_of(node: str) -> str | None:
    """Return the model block of a node, from the module path that the exporter put into the node's name.

    ``/stages.0/stages.0.1/attention/MatMul_2`` belongs to ``stages.0.1/attention``. A module whose name is a prefix of
    the next one is dropped. Parts that begin with a capital letter are operators. None for names without a path, which
    runtimes give to fused nodes.
    """
    if not node.startswith("/"):
        return None
    path = [part for part in node.split("/") if part and not part[0].isupper()]
    inner = [part for part, following in pairwise([*path, ""]) if not following.startswith(part)]
    return "/".join(inner[-2:]) or OUTSIDE
