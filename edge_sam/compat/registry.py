"""`sam_model_registry`: from the reference's model types and checkpoints to loaded models."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from edge_sam.bundles.bundle import file_sha256, open_bundle
from edge_sam.errors import InputError
from edge_sam.loading import load
from edge_sam.predictor import Predictor
from edge_sam.runtimes import runs_on_cpu

_VIT_T = "mobile-sam"


class Sam:
    """A loaded model with what callers of the reference's `Sam` use.

    Parameters
    ----------
    predictor : Predictor
        From `edge_sam.load`.

    Attributes
    ----------
    predictor : Predictor
        As above.
    device : str
        Always ``"cpu"``: arrays go in and come out in the host's memory, wherever the model runs.
    image_format : str
        ``"RGB"``.
    mask_threshold : float
        0: logits above it are mask.
    """

    device = "cpu"
    image_format = "RGB"
    mask_threshold = 0.0

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    def to(self, device: object = "cpu") -> Sam:
        """Return the model unchanged. If it runs on the CPU but another device is wanted, a warning says so."""
        if str(device).partition(":")[0] != "cpu" and runs_on_cpu(self.predictor.runtime):
            warnings.warn(
                f"the model stays on {self.predictor.provider}; to run it on {device}, give edge_sam.load(runtime=…)"
                " to the predictor",
                stacklevel=2,
            )
        return self

    def eval(self) -> Sam:
        """Return the model unchanged."""
        return self


def predictor_of(model: Predictor | Sam) -> Predictor:
    """Return the predictor of a model that a caller gave. Raises `InputError` if it is none."""
    if isinstance(model, Sam):
        return model.predictor
    if isinstance(model, Predictor):
        return model
    raise InputError(
        f"expected a model from edge_sam.load(…) or edge_sam.compat.sam_model_registry, got {type(model).__name__}"
    )


def _build_vit_t(checkpoint: str | Path | None = None) -> Sam:
    """Load MobileSAM.

    Parameters
    ----------
    checkpoint : str or Path, optional
        The official ``mobile_sam.pt``, whose weights come with the package, or a bundle. Default: the bundle that
        comes with the package.

    Raises
    ------
    InputError
        The file holds other weights, which must be exported first, or there is no such bundle.
    """
    if checkpoint is None or not Path(checkpoint).is_file():
        return Sam(load(_VIT_T if checkpoint is None else checkpoint))
    if file_sha256(Path(checkpoint)) != open_bundle(_VIT_T).manifest.source.sha256:
        raise InputError(
            f"{checkpoint} does not hold MobileSAM's official weights; make a bundle of it with"
            f" edge-sam export {checkpoint} --output BUNDLE, and give checkpoint=BUNDLE"
        )
    return Sam(load(_VIT_T))


class _Registry(dict[str, Callable[..., Sam]]):
    def __missing__(self, name: str) -> NoReturn:
        raise InputError(
            f"edge_sam has no model of the type {name!r}; it has {', '.join(self)}. For a model that"
            " `edge-sam models` lists, use SamPredictor(edge_sam.load(NAME))"
        )


sam_model_registry: dict[str, Callable[..., Sam]] = _Registry(vit_t=_build_vit_t)
"""Functions that load a model, by the reference's name of its type: ``vit_t`` (MobileSAM).

They take ``checkpoint``: the official file of weights, a bundle, or None for the bundle that comes with the package."""
