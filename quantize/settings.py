"""The settings of quantisation."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from edge_sam.settings import Settings


@dataclass(frozen=True, kw_only=True)
class QuantizeSettings(Settings):
    """How to quantise a bundle.

    Attributes
    ----------
    calibration : Path
        Folder of photographs like those that will be segmented; 64 to 300 are enough. If it has images/ and masks/, the
        masks are used to measure accuracy.
    precision : str
        int8, or fp16 (for GPUs; it needs no calibration).
    target : str, optional
        Whose kernels to quantise for: cpu, arm, tensorrt or openvino. Default: cpu; tensorrt for fp16.
    max_drop : float
        Points of mIoU that may be lost against known masks; four times as many against the float model's own masks. If
        more are lost, nothing is written.
    samples : int
        Maximum number of photographs to calibrate with.
    observer : str
        How ranges are found: min-max, percentile or entropy.
    seed : int
        Seed for the choice of photographs and prompts.
    """

    calibration: Path
    precision: str = "int8"
    target: str | None = None
    max_drop: Annotated[float, Meta(ge=0, le=100)] = 0.5
    samples: Annotated[int, Meta(ge=1)] = 64
    observer: str = "min-max"
    seed: Annotated[int, Meta(ge=0)] = 0
