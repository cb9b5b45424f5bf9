"""The guard against silent failure: a runtime must compute what the model means, on this machine.

Runtimes have been seen to give the same embedding for every image, or masks of noise, without an error. So before a
runtime is trusted with a model, two small images go through encoder and decoder, and what comes out must be finite,
differ between the two, and agree with what the bundle has stored from PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_sam.bundles.contract import PROBE_GRID, PROBED
from edge_sam.bundles.precisions import find_precision
from edge_sam.errors import RuntimeUnavailableError
from edge_sam.imaging.geometry import TOKEN
from edge_sam.runtimes import Session, Tensors


class Parts(Protocol):
    """What the guard needs of a loaded model."""

    encoder: Session
    decoder: Session
    padding: NDArray[np.float32]
    no_mask: NDArray[np.float32]


def probe_images() -> Iterator[NDArray[np.float32]]:
    """Two encoder inputs (1, 3, 160, 256), made by arithmetic that gives the same everywhere: a disc and stripes."""
    rows, columns = PROBE_GRID
    y, x = np.mgrid[0 : rows * TOKEN, 0 : columns * TOKEN].astype(np.float32)
    disc = np.where((x - 120) ** 2 + (y - 80) ** 2 < 50**2, np.float32(1.5), np.float32(-1))
    stripes = np.where((x // 24) % 2 == 0, np.float32(2), np.float32(-0.5)) + y / 200
    for picture in (disc, stripes):
        yield np.stack([picture, 1 - picture, picture * (x / 256)])[None].astype(np.float32)


def probe_prompt() -> Tensors:
    """Make the decoder's inputs for one click on the middle of a probe."""
    return {
        "point_coords": np.array([[[120, 80], [0, 0]]], np.float32),
        "point_labels": np.array([[1, -1]], np.int64),
        "token_size": np.array(PROBE_GRID, np.int64),
    }


def run_probe(model: Parts) -> Tensors:
    """Send both images through a loaded model; see `PROBED`."""
    outputs: list[Tensors] = []
    for image in probe_images():
        encoded = model.encoder.run({"image": image})["image_embedding"]
        features = model.padding.copy()
        features[: PROBE_GRID[0], : PROBE_GRID[1]] = encoded[0]
        answer = model.decoder.run({"image_tokens": (features + model.no_mask)[None], **probe_prompt()})
        outputs.append({"image_embedding": encoded, **answer})
    return {name: np.concatenate([output[name] for output in outputs]) for name in PROBED}


def check_probe(computed: Tensors, stored: Tensors, precision: str) -> dict[str, float]:
    """Judge what a runtime made of the probe.

    Parameters
    ----------
    computed, stored : dict of str to ndarray
        What it gave, and what the bundle has; see `PROBED`.
    precision : str
        Chooses the bound; an unknown one gets the strictest.

    Returns
    -------
    dict of str to float
        Relative difference by output.

    Raises
    ------
    RuntimeUnavailableError
        Not finite, the same for both images, or beyond the bound; with the figures.
    """
    bound = find_precision(precision).probe_bound
    differences = {}
    for name, reference in stored.items():
        ours = computed[name]
        if ours.shape != reference.shape:
            raise RuntimeUnavailableError(f"{name} of the probe has shape {ours.shape}, not {reference.shape}")
        if not np.isfinite(ours).all():
            raise RuntimeUnavailableError(f"{name} of the probe is not finite")
        apart, expected = (_difference(both[0], both[1]) for both in (ours, reference))
        if apart < expected / 2:
            raise RuntimeUnavailableError(
                f"{name} hardly differs between two different images ({apart:.2g} instead of {expected:.2g})"
            )
        differences[name] = _difference(ours, reference)
        if differences[name] > bound:
            raise RuntimeUnavailableError(
                f"{name} is {differences[name]:.2g} away from the stored values (allowed for {precision}: {bound:g})"
            )
    return differences


def _difference(ours: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """Relative difference of two arrays by Euclidean norm."""
    norm = np.linalg.norm(reference.astype(np.float64))
    return float(np.linalg.norm(ours.astype(np.float64) - reference) / norm)
