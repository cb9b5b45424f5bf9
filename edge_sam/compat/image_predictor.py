"""One image and its prompts: what the predictors for SAM and for SAM 2 share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_sam.compat.registry import Sam, predictor_of
from edge_sam.embedding import ImageEmbedding
from edge_sam.errors import EdgeSamError, InputError
from edge_sam.imaging.view import View
from edge_sam.predictor import Predictor
from edge_sam.preference import AMBIGUOUS, SINGLE
from edge_sam.prompts import Prompt


class ImageNotSetError(EdgeSamError, RuntimeError):
    """A method needs an image, but `set_image` was not called."""


class Masks(NamedTuple):
    """The masks of B prompts, C each."""

    pixels: NDArray[Any]
    """At the image's size, (B, C, height, width): bool, or float32 logits."""
    scores: NDArray[np.float32]
    """Predicted IoU, (B, C)."""
    low_res_logits: NDArray[np.float32]
    """(B, C, 256, 256)."""


class ImagePredictor:
    """Answers prompts on one image at a time.

    Parameters
    ----------
    model : Predictor or Sam
        From `edge_sam.load` or `sam_model_registry`.
    long_side, square
        See `Predictor.encode`. Default: as the reference implementation sees an image.

    Attributes
    ----------
    model : Sam
        The model.

    Raises
    ------
    InputError
        The model is something else, or the long side is invalid.
    """

    def __init__(self, model: Predictor | Sam, *, long_side: int = View.long_side, square: bool | None = True) -> None:
        self.model = Sam(predictor_of(model))
        self._contract = self.model.predictor.bundle.contract
        self._view = View(long_side=long_side, square=self._contract.square if square is None else square)
        self._embedding: ImageEmbedding | None = None

    @property
    def device(self) -> str:
        """See `Sam.device`."""
        return self.model.device

    @property
    def embedding(self) -> ImageEmbedding:
        """The embedding of the image, to save or to pass to `Predictor.predict`. Raises `ImageNotSetError`."""
        if self._embedding is None:
            raise ImageNotSetError("no image is set; call set_image(image) first")
        return self._embedding

    def get_image_embedding(self) -> NDArray[np.float32]:
        """Return the image embedding, (1, 256, 64, 64) unless other settings are chosen. Raises `ImageNotSetError`."""
        return self.embedding.channels_first()

    def reset_image(self) -> None:
        """Forget the image."""
        self._embedding = None

    def _encode(self, image: NDArray[np.uint8]) -> None:
        self.reset_image()
        self._embedding = self.model.predictor.encode(image, **vars(self._view))

    def _ask(self, prompts: Sequence[Prompt], *, multimask: bool, logits: bool) -> Masks:
        """Answer B prompts with token 0's mask, or with `multimask` those of the three other tokens in their order."""
        embedding = self.embedding
        upsample = embedding.geometry.upsample
        tokens = list(AMBIGUOUS) if multimask else [SINGLE]
        answers = list(self.model.predictor.answers(embedding, prompts))
        low_res = np.stack([answer.logits[tokens] for answer in answers])
        pixels = np.stack([[upsample(one) if logits else upsample(one) > 0 for one in planes] for planes in low_res])
        if (limit := self._contract.logit_limit) is not None:
            low_res = low_res.clip(-limit, limit)
        return Masks(pixels, np.stack([answer.scores[tokens] for answer in answers]), low_res)


def make_prompts(points: Any | None, labels: Any | None, boxes: Any | None, masks: Any | None) -> list[Prompt]:
    """Make B prompts from arrays.

    Parameters
    ----------
    points : array_like, (B, K, 2), optional
        XY in pixels of the image.
    labels : array_like, (B, K), optional
        1 or 0 for each point.
    boxes : array_like, (B, 4), optional
        XYXY in pixels of the image.
    masks : array_like, (B, 1, 256, 256), optional
        Low-res logits.

    Raises
    ------
    InputError
        Nothing is given, the numbers of prompts differ, or a prompt is invalid.
    """
    if points is not None and labels is None:
        raise InputError("point_coords come without point_labels; give 1 (on the object) or 0 (off it) for each point")
    arrays = {"points": points, "labels": None if points is None else labels, "box": boxes, "mask": masks}
    given = {name: array for name, array in arrays.items() if array is not None}
    counts = {name: len(array) for name, array in given.items()}
    if not given:
        raise InputError("the prompt is empty; give point_coords with point_labels, a box or mask_input")
    if len(set(counts.values())) > 1:
        raise InputError(f"the numbers of prompts differ: {counts}")
    if not all(counts.values()):
        raise InputError("there are no prompts: the arrays are empty")
    return [Prompt(**dict(zip(given, one, strict=True))) for one in zip(*given.values(), strict=True)]
