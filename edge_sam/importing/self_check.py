"""The check of an imported model: whether it sees a drawn scene, and with which preprocessing best."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, get_args

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_sam.bundles.contract import Contract
from edge_sam.bundles.manifest import Channels, Values
from edge_sam.errors import InputError
from edge_sam.imaging.geometry import Geometry
from edge_sam.imaging.masks import box_of, iou
from edge_sam.imaging.preprocess import encoder_input
from edge_sam.imaging.scene_objects import scene_with_objects
from edge_sam.imaging.view import Fit
from edge_sam.inference.guard import ModelParts
from edge_sam.prompts import Prompt, decoder_points
from edge_sam.runtimes import Tensors

MARGIN = 0.05
"""How much better another preprocessing must be than the usual one, in mean IoU, to take its place. Trained models see
a stretched picture, or one with red and blue swapped, as well as the right one, within 0.01 (docs/lab/interop.md)."""
LOWEST = 0.3
"""Mean IoU below which a model is taken for one that does not see the scene at all."""
_DIFFERENT = 1e-4
"""Least relative difference between the embeddings of two images."""


@dataclass(frozen=True)
class Preprocessing:
    """What lies outside an encoder.

    Attributes
    ----------
    values, channels : str
        See `edge_sam.bundles.manifest.ForeignLayout`.
    padded : bool
        Whether the photograph keeps its aspect, padded. False: it is stretched to a square.
    """

    values: Values
    channels: Channels
    padded: bool

    def __str__(self) -> str:
        return f"{self.values}, {self.channels}, {'padded' if self.padded else 'stretched'}"

    def contract(self, usual: Contract) -> Contract:
        """Return a layout's contract with this fit."""
        if self.padded == usual.fit.padded or usual.high_res:
            return usual
        return msgspec.structs.replace(usual, fit=Fit(padded=self.padded))


Scores = dict[Preprocessing, float]
"""Mean IoU with the drawn objects."""


def best_preprocessing(
    usual: Preprocessing, free: frozenset[str], order: tuple[Values, ...], score: Callable[[Preprocessing], float]
) -> tuple[Preprocessing, Scores]:
    """Find the preprocessing that a model was made for.

    Values, channels and fit are tried one after the other, and another one than the usual must be clearly better.

    Parameters
    ----------
    usual : Preprocessing
        That of the layout.
    free : frozenset of str
        The fields that are not given.
    order : tuple of str
        Values to try, the usual ones first.
    score : callable
        Returns the mean IoU with a preprocessing.

    Returns
    -------
    best : Preprocessing
    scores : dict of Preprocessing to float
        All that were tried.

    Raises
    ------
    InputError
        The model does not see the scene with any of them.
    """
    best, scores = usual, {usual: score(usual)}
    for field, options in (("values", order), ("channels", get_args(Channels)), ("padded", (True, False))):
        for option in options if field in free else ():
            change: Any = {field: option}
            tried = replace(best, **change)
            if tried not in scores:
                scores[tried] = score(tried)
        best = max(scores, key=lambda each: scores[each] + (MARGIN if each == best else 0))
    if scores[best] < LOWEST:
        tries = "; ".join(f"{each}: {value:.2f}" for each, value in scores.items())
        raise InputError(
            f"the pair does not segment a drawn scene (mean IoU with {tries}); encoder and decoder are of different"
            " models or of an unknown layout, or what was said of their input (--values, --channels, --padded) is wrong"
        )
    return best, scores


def scene_score(model: ModelParts, mean: tuple[float, ...], std: tuple[float, ...], *, boxes: bool) -> float:
    """Return the mean IoU with the drawn objects, of the masks with the best predicted IoU.

    Parameters
    ----------
    model : ModelParts
        A model with one preprocessing.
    mean, std : tuple of float
        Normalisation of the channels R, G, B in pixel values.
    boxes : bool
        Whether to ask with boxes as well as points.
    """
    image, objects = scene_with_objects()
    geometry = Geometry((image.shape[0], image.shape[1]), square=True, fit=model.contract.fit)
    maps = model.encoder.run({"image": encoder_input(image, geometry, mean, std)})
    maps["image_tokens"] = maps.pop("image_embedding") + model.no_mask
    found = []
    for prompt, truth in _prompts(objects, boxes):
        coords, labels = decoder_points([prompt], geometry)
        size = {"token_size": np.array(geometry.token_size)} if geometry.fit.padded else {}
        answer = model.decoder.run({**maps, "point_coords": coords, "point_labels": labels, **size})
        best = answer["low_res_logits"][0, answer["predicted_iou"][0].argmax()]
        found.append(iou(geometry.upsample(best) > 0, truth))
    return float(np.mean(found))


def check_different(probe: Tensors) -> None:
    """Check the outputs for the two probe images of `edge_sam.inference.guard`.

    Raises
    ------
    InputError
        They are not finite, or the image embedding is the same for both images.
    """
    if not all(np.isfinite(array).all() for array in probe.values()):
        raise InputError("the pair cannot be used: its outputs are not finite")
    one, other = probe["image_embedding"]
    if np.linalg.norm(one - other) < _DIFFERENT * np.linalg.norm(one):
        raise InputError("the pair cannot be used: the encoder gives the same embedding for two different images")


def _prompts(objects: list[NDArray[np.bool_]], boxes: bool) -> Iterator[tuple[Prompt, NDArray[np.bool_]]]:
    for mask in objects:
        depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        y, x = np.unravel_index(depth.argmax(), depth.shape)
        yield Prompt(points=[(float(x), float(y))]), mask
        if boxes:
            yield Prompt(box=box_of(mask)), mask
