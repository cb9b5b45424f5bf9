"""What the zoo's models cost, counted from the shapes of their tensors."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edge_sam.bundles.manifest import FileName

COSTS = Path(__file__).parent / "costs.json"
"""Written by ``benchmarks/model_costs.py``."""


class Cost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one model costs.

    Attributes
    ----------
    model : str
        Name in the zoo.
    encode_gmac : float
        Billions of multiplications with addition to encode a square of 1024 pixels.
    mb : dict of str to float
        Size of a bundle's weights and arrays in MB by precision. The nodes of its graphs take 1 or 2 MB more.
    """

    model: FileName
    encode_gmac: float
    mb: dict[str, float]


def read_costs(path: Path = COSTS) -> dict[str, Cost]:
    """Read the costs that `path` holds, by model."""
    return {cost.model: cost for cost in msgspec.json.decode(path.read_bytes(), type=list[Cost])}
