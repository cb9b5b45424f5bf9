"""The calibration set and the photographs to measure accuracy on, from a user's folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import InputError
from edge_sam.evaluation.datasets import open_dataset
from edge_sam.evaluation.samples import Sample
from edge_sam.imaging.images import evenly_spaced, pictures, read_image

ENOUGH = 16
"""Number of photographs to measure accuracy on, if the folder has enough."""
_FLAT = 8
"""A picture with a smaller range of pixel values says nothing about activations."""


@dataclass(frozen=True)
class Photographs:
    """Photographs chosen from a calibration folder.

    Attributes
    ----------
    calibration, evaluation : list of Path
        The calibration set, and photographs to measure accuracy on. They overlap if the folder has too few.
    masked : sequence of Sample
        At most `ENOUGH` photographs with known masks, evenly spaced over those outside the calibration set, or over
        all if there are no others.
    skipped : int
        Number of files that cannot be read or are of one colour.
    fingerprint : str
        sha256 of the hashes of the calibration files, in order.
    """

    calibration: list[Path]
    evaluation: list[Path]
    masked: list[Sample]
    skipped: int
    fingerprint: str


def find_photographs(folder: Path, count: int, seed: int) -> Photographs:
    """Choose photographs from a folder, or from its subfolder ``images``.

    Parameters
    ----------
    folder : Path
        The folder. Known masks are found in ``masks`` beside ``images`` or in any layout that `edge-sam eval` reads.
    count : int
        Size of the calibration set.
    seed : int
        Seed of the choice. The same seed and folder give the same photographs.

    Raises
    ------
    InputError
        The folder is missing or has no photographs, none can be read, or all are of one colour.
    """
    if not folder.is_dir():
        raise InputError(f"no such folder of calibration photographs: {folder}")
    masked = _masked(folder)
    inside = folder / "images" if (folder / "images").is_dir() else folder
    # Plain text order: natural order would change which photographs a seed chooses, and bundles record the seed.
    files = sorted(pictures(inside)) or sorted(sample.image for sample in masked)
    if not files:
        raise InputError(f"no photograph in {folder}; it should hold 64 or more like those that will be segmented")
    chosen, skipped = _choose(files, count + ENOUGH, seed, folder)
    calibration = sorted(chosen[:count])
    evaluation = sorted(chosen[count:] or chosen[:ENOUGH])
    digest = hashlib.sha256()
    for path in calibration:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    known = set(calibration)
    fresh = [sample for sample in masked if sample.image not in known] or masked
    return Photographs(calibration, evaluation, evenly_spaced(fresh, ENOUGH), skipped, digest.hexdigest())


def _choose(files: list[Path], most: int, seed: int, folder: Path) -> tuple[list[Path], int]:
    """Draw readable photographs that are not of one colour. Also returns the number of skipped files."""
    chosen: list[Path] = []
    readable = skipped = 0
    for i in np.random.default_rng(seed).permutation(len(files)):
        if len(chosen) == most:
            break
        pixels = _read(files[i])
        readable += pixels is not None
        if pixels is not None and int(pixels.max()) - int(pixels.min()) >= _FLAT:
            chosen.append(files[i])
        else:
            skipped += 1
    if not readable:
        raise InputError(f"none of the {len(files)} photographs in {folder} can be read")
    if not chosen:
        raise InputError(f"every photograph in {folder} is of one colour; that says nothing about activations")
    return chosen, skipped


def _read(path: Path) -> NDArray[np.uint8] | None:
    try:
        return read_image(path)
    except InputError:
        return None


def _masked(folder: Path) -> Sequence[Sample]:
    """Return the photographs with known masks, or none if the folder has no dataset layout."""
    try:
        return open_dataset(folder).samples
    except InputError:  # Most folders have no masks.
        return []
