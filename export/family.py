"""What export has to know of a family of models besides its tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from edge_sam.export.checkpoint import Weights


@dataclass(frozen=True)
class Family:
    """Models that differ in their image encoder; prompt encoder and mask decoder are those of SAM.

    Attributes
    ----------
    name : str
        In the manifest and the zoo.
    title : str
        For people.
    mark : str
        Name of a tensor that only checkpoints of this family have.
    url, license : str
        Where it comes from, and its licence's SPDX name.
    notice : str
        Whose work it is, and under which licences; goes into ``NOTICE``.
    licenses : tuple of str
        Files of ``export/licenses``: the first becomes ``LICENSE``, the text of the others goes into ``NOTICE``.
    pixel_mean, pixel_std : tuple of float
        Of RGB, 0 to 255: what the encoder's input is normalised with.
    encoder : callable
        Makes the image encoder from a checkpoint's weights: (1, 3, H, W) float32, H and W multiples of 16, to
        (1, H / 16, W / 16, 256) float32.
    """

    name: str
    title: str
    mark: str
    url: str
    license: str
    notice: str
    licenses: tuple[str, ...]
    pixel_mean: tuple[float, float, float]
    pixel_std: tuple[float, float, float]
    encoder: Callable[[Weights], nn.Module]
