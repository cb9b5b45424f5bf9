"""Properties of a model family that are not in its checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from edge_sam.export.checkpoint import Weights


@dataclass(frozen=True)
class Family:
    """A model family with its own image encoder and SAM's prompt encoder and mask decoder.

    Attributes
    ----------
    name : str
        Name in the manifest and the zoo.
    title : str
        Display name.
    mark : str
        Name of a tensor that only checkpoints of this family have.
    url, license : str
        Upstream repository, and the SPDX name of its licence.
    notice : str
        Authors and licences, for ``NOTICE``.
    licenses : tuple of str
        Files in ``export/licenses``. The first becomes ``LICENSE``, the others go into ``NOTICE``.
    pixel_mean, pixel_std : tuple of float
        Normalisation of the encoder's input: mean and standard deviation of RGB, 0 to 255.
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
