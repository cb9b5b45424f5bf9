"""The settings of a benchmark."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from edge_sam.settings import Settings


@dataclass(frozen=True, kw_only=True)
class BenchSettings(Settings):
    """How to measure each combination.

    Attributes
    ----------
    rounds : int
        Timed runs of each combination.
    warm_up : int
        Untimed runs of each combination before them.
    min_agreement : float
        Mean IoU with the reference's masks below which a row is not ranked.
    """

    rounds: Annotated[int, Meta(ge=1)] = 15
    warm_up: Annotated[int, Meta(ge=0)] = 2
    min_agreement: Annotated[float, Meta(ge=0, le=1)] = 0.95
