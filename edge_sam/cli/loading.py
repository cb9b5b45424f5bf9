"""What the commands share that load a model and segment with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_sam import Predictor


def model_facts(predictor: Predictor) -> dict[str, str]:
    """Say which model answered, and on what."""
    return {
        "model": predictor.bundle.manifest.name,
        "precision": predictor.precision,
        "runtime": predictor.runtime,
        "provider": predictor.provider,
    }
