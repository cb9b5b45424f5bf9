"""Properties of a model family that are not in its checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from edge_sam.bundles.contract import SAM, Contract
from edge_sam.export.checkpoint import Weights
from edge_sam.export.mask_decoder import MaskDecoder
from edge_sam.imaging.preprocess import PIXEL_MEAN, PIXEL_STD


@dataclass(frozen=True)
class Family:
    """A model family with its own image encoder, SAM's prompt encoder, and SAM's or its own mask decoder.

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
    encoder : callable
        Makes the image encoder from a checkpoint's weights: (1, 3, H, W) float32 to (1, H / 16, W / 16, 256) float32
        and the further feature maps of `contract`.
    pixel_mean, pixel_std : tuple of float
        Normalisation of the encoder's input: mean and standard deviation of RGB, 0 to 255.
    decoder : callable
        Makes the mask decoder from the weights.
    contract : Contract
        What the components exchange with the runtime.
    renamed : tuple of pairs of str
        Parts of tensors' names in the checkpoints, and what SAM calls them.
    unused : tuple of str
        Starts of the names, once renamed, of tensors that images do not need.
    """

    name: str
    title: str
    mark: str
    url: str
    license: str
    notice: str
    licenses: tuple[str, ...]
    encoder: Callable[[Weights], nn.Module]
    pixel_mean: tuple[float, float, float] = PIXEL_MEAN
    pixel_std: tuple[float, float, float] = PIXEL_STD
    decoder: Callable[[Weights], nn.Module] = MaskDecoder
    contract: Contract = SAM
    renamed: tuple[tuple[str, str], ...] = ()
    unused: tuple[str, ...] = ()

    def weights(self, tensors: Mapping[str, Tensor]) -> Weights:
        """Return the tensors of a checkpoint under SAM's names."""
        names = {name: name for name in tensors}
        for theirs, ours in self.renamed:
            names = {name: new.replace(theirs, ours) for name, new in names.items()}
        weights = Weights({new: tensors[name] for name, new in names.items()})
        for start in self.unused:
            weights.ignore(start)
        return weights
