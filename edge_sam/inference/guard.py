"""The guard against silent failure: check that a runtime computes the right results on this machine.

Some runtimes return the same embedding for every image, or masks of noise, without an error. So before a runtime is
used with a model, two small probe images run through encoder and decoder. The outputs must be finite, differ between
the images, and agree with PyTorch's reference outputs in the bundle.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_sam.bundles.contract import Contract
from edge_sam.bundles.precisions import find_precision
from edge_sam.errors import RuntimeUnavailableError
from edge_sam.imaging.view import FRAME, TOKEN
from edge_sam.inference.feature_maps import frame_features
from edge_sam.inference.token_list import decoder_tokens, token_list
from edge_sam.runtimes import Session, Tensors


class ModelParts(Protocol):
    """The parts of a loaded model that the guard uses."""

    contract: Contract
    encoder: Session
    decoder: Session
    padding: NDArray[np.float32] | None
    no_mask: NDArray[np.float32]


def probe_images(contract: Contract) -> Iterator[NDArray[np.float32]]:
    """Yield two encoder inputs (1, 3, H, W), a disc and stripes, computed the same way on every machine.

    H and W are those of `Contract.probe_grid`. An encoder of one size gets them in the corner of its frame, and zeros
    elsewhere.
    """
    rows, columns = contract.probe_grid
    y, x = np.mgrid[0 : rows * TOKEN, 0 : columns * TOKEN].astype(np.float32)
    disc = np.where((x - 120) ** 2 + (y - 80) ** 2 < 50**2, np.float32(1.5), np.float32(-1))
    stripes = np.where((x // 24) % 2 == 0, np.float32(2), np.float32(-0.5)) + y / 200
    for picture in (disc, stripes):
        image = np.stack([picture, 1 - picture, picture * (x / 256)])[None].astype(np.float32)
        if contract.fixed:
            image = np.pad(image, ((0, 0), (0, 0), (0, FRAME - image.shape[2]), (0, FRAME - image.shape[3])))
        reduction = contract.fit.reduction
        yield np.ascontiguousarray(image[:, :, ::reduction, ::reduction])


def probe_prompt(contract: Contract) -> Tensors:
    """Return the decoder's inputs for a click on the centre of a probe image."""
    prompt: Tensors = {
        "point_coords": np.array([[[120, 80], [0, 0]]], np.float32),
        "point_labels": np.array([[1, -1]], np.int64),
    }
    return prompt | ({"token_size": np.array(contract.probe_grid, np.int64)} if contract.fit.padded else {})


def run_probe(model: ModelParts) -> Tensors:
    """Run both probe images through a loaded model; see `Contract.probed` for the outputs."""
    outputs: list[Tensors] = []
    for image in probe_images(model.contract):
        encoded = model.encoder.run({"image": image})
        features = frame_features(encoded, model.padding)
        tokens = (features.pop("image_embedding") + model.no_mask)[None]
        high_res = {name: each[None] for name, each in features.items()}
        listed = token_list(*model.contract.probe_grid) if model.contract.weighted_tokens else None
        inputs = decoder_tokens(tokens, listed)
        decoded = model.decoder.run({**inputs, **high_res, **probe_prompt(model.contract)})
        outputs.append({**encoded, **decoded})
    return {name: _both(outputs, name, shape) for name, shape in model.contract.probed.items()}


def _both(outputs: Sequence[Tensors], name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Stack an output for both images, cut down to the part that the probe images cover."""
    covered = tuple(slice(0, size) for size in shape[1:])
    return np.concatenate([np.ascontiguousarray(output[name][(slice(None), *covered)]) for output in outputs])


def probe_bounds(contract: Contract, precision: str) -> dict[str, float]:
    """Return the largest relative difference of each output; see `check_probe`."""
    return dict.fromkeys(contract.probed, find_precision(precision).probe_bound)


def check_probe(computed: Tensors, stored: Tensors, precision: str) -> dict[str, float]:
    """Compare a runtime's outputs for the probe images with the reference outputs.

    Parameters
    ----------
    computed, stored : dict of str to ndarray
        Outputs of the runtime, and reference outputs of the bundle; see
        `Contract.probed`.
    precision : str
        Decides the bound. An unknown precision gets the strictest.

    Returns
    -------
    dict of str to float
        Relative difference of each output.

    Raises
    ------
    RuntimeUnavailableError
        An output is not finite, hardly differs between the images, or is beyond the bound.
    """
    bound = find_precision(precision).probe_bound
    differences = {}
    for name, reference in stored.items():
        ours = computed[name]
        if ours.shape != reference.shape:
            raise RuntimeUnavailableError(f"{name} of the probe has shape {ours.shape}, not {reference.shape}")
        if not np.isfinite(ours).all():
            raise RuntimeUnavailableError(f"{name} of the probe is not finite")
        difference, expected = (_difference(both[0], both[1]) for both in (ours, reference))
        if difference < expected / 2:
            raise RuntimeUnavailableError(
                f"{name} hardly differs between two different images ({difference:.2g} instead of {expected:.2g})"
            )
        differences[name] = _difference(ours, reference)
        if differences[name] > bound:
            raise RuntimeUnavailableError(
                f"{name} differs by {differences[name]:.2g} from the reference (allowed for {precision}: {bound:g})"
            )
    return differences


def _difference(ours: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """Return the relative difference of two arrays in Euclidean norm."""
    norm = np.linalg.norm(reference.astype(np.float64))
    return float(np.linalg.norm(ours.astype(np.float64) - reference) / norm)
