"""Compare a written pair with the bundle that it was made from, asked as other programs ask it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sam.bundles.manifest import Values
from edge_sam.errors import ExportError
from edge_sam.export.layouts.layout import ExportLayout
from edge_sam.imaging.geometry import Geometry
from edge_sam.imaging.masks import box_of, iou
from edge_sam.imaging.preprocess import encoder_input, resize_bilinear
from edge_sam.imaging.scene_objects import scene_with_objects
from edge_sam.predictor import Predictor
from edge_sam.prompts import Prompt
from edge_sam.runtimes import REFERENCE, Session, SessionOptions, backend

AGREEMENT = 0.99
"""Least IoU of a mask of the pair with the bundle's."""


def check_pair(
    layout: ExportLayout, values: Values, files: tuple[Path, Path], predictor: Predictor
) -> dict[str, float]:
    """Compare masks for points, boxes and mask prompts on a drawn scene.

    Parameters
    ----------
    layout : ExportLayout
        The layout of the pair.
    values : str
        What its encoder takes.
    files : tuple of Path
        Encoder and decoder.
    predictor : Predictor
        The bundle, in the precision of the pair.

    Returns
    -------
    dict of str to float
        The number of prompts, and the lowest and the mean IoU.

    Raises
    ------
    ExportError
        A mask agrees less than `AGREEMENT`.
    """
    encoder, decoder = (backend(REFERENCE).open_session(file, SessionOptions()) for file in files)
    found: list[float] = []
    square = values != "0-255" or predictor.bundle.contract.square
    for image, objects in _scenes(values):
        embedding = predictor.encode(image, square=square)
        maps = encoder_maps(encoder, image, values, predictor)
        for prompt in _prompts(objects, predictor, embedding if layout.masks else None):
            prefer = "single" if prompt.mask is not None and layout.shows == "auto" else layout.shows
            ours = predictor.predict(embedding, prompt, multimask=False, prefer=prefer).masks[0]
            theirs = layout.client(decoder, maps, prompt, embedding.geometry)
            found.append(iou(ours, theirs))
            if found[-1] < AGREEMENT:
                figures = f"IoU {found[-1]:.3f} for {prompt}"
                raise ExportError(f"the written pair disagrees with the bundle: {figures}; nothing was written")
    return {"prompts": float(len(found)), "lowest IoU": min(found), "mean IoU": float(np.mean(found))}


def encoder_maps(
    encoder: Session, image: NDArray[np.uint8], values: Values, predictor: Predictor
) -> list[NDArray[np.float32]]:
    """Return the outputs of a pair's encoder, in order, for a photograph that is prepared as other programs do."""
    contract, manifest = predictor.bundle.contract, predictor.bundle.manifest
    geometry = Geometry((image.shape[0], image.shape[1]), square=True, fit=contract.fit)
    scaled = resize_bilinear(image, geometry.scaled_size)
    pixels: NDArray[Any]
    if values == "0-255":
        pixels = scaled.astype(np.float32)
    elif values == "0-1":
        pixels = np.ascontiguousarray(scaled.transpose(2, 0, 1)[None], dtype=np.float32) / 255
    else:
        pixels = encoder_input(image, geometry, manifest.pixel_mean, manifest.pixel_std)
    return list(encoder.run({encoder.input_names[0]: pixels}).values())


def _scenes(values: Values) -> Iterator[tuple[NDArray[np.uint8], list[NDArray[np.bool_]]]]:
    """Yield images with their objects: two of different aspects, if the encoder takes pixels of any aspect."""
    image, objects = scene_with_objects()
    yield image, objects[:2]
    if values == "0-255":
        yield np.ascontiguousarray(image[:, ::2].swapaxes(0, 1)), [mask[:, ::2].T for mask in objects[2:]]


def _prompts(objects: list[NDArray[np.bool_]], predictor: Predictor, embedding: Any) -> Iterator[Prompt]:
    """Yield prompts of all kinds; of masks only with an embedding."""
    for mask in objects:
        box = box_of(mask)
        assert box is not None
        centre = (box[:2] + box[2:]) / 2
        yield Prompt(points=[centre])
        yield Prompt(points=[centre, box[:2] + 1], labels=[1, 0])
        yield Prompt(box=box)
        yield Prompt(points=[centre], box=box)
        if embedding is not None:
            before = predictor.predict(embedding, Prompt(box=box), multimask=False).logits[0]
            yield Prompt(points=[centre], mask=before)
