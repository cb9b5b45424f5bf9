"""The photographs to calibrate with and those to judge by, from a folder of the user's."""

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
from edge_sam.imaging.images import pictures, read_image, spread

ENOUGH = 16
"""Photographs to judge by, where there are as many beside those to calibrate with."""
_FLAT = 8
"""A picture whose pixels differ by less says nothing about activations."""


@dataclass(frozen=True)
class Photographs:
    """What a calibration folder gave.

    Attributes
    ----------
    calibration, judged : list of Path
        To observe activations on, and to measure masks on. The same ones where the folder has too few.
    masked : sequence of Sample
        Photographs with known masks, at most `ENOUGH`, evenly spread over those that are not calibrated with, or over
        all where there are no others; empty where the folder has none.
    skipped : int
        Files that could not be read, or showed nothing.
    fingerprint : str
        sha256 of the hashes of all calibration files, in order.
    """

    calibration: list[Path]
    judged: list[Path]
    masked: list[Sample]
    skipped: int
    fingerprint: str


def find_photographs(folder: Path, count: int, seed: int) -> Photographs:
    """Choose photographs of a folder, or of ``images`` in it.

    Parameters
    ----------
    folder : Path
        Where they are. With ``masks`` beside ``images``, or any layout that `edge-sam eval` reads, masks are found.
    count : int
        How many to calibrate with.
    seed : int
        Of the choice; the same seed and folder give the same photographs.

    Raises
    ------
    InputError
        No such folder, no photograph in it, none that can be read, or all of them are of one colour.
    """
    if not folder.is_dir():
        raise InputError(f"no such folder of calibration photographs: {folder}")
    masked = _masked(folder)
    inside = folder / "images" if (folder / "images").is_dir() else folder
    # Sorted as text: in natural order a seed would choose other photographs than those that bundles name.
    files = sorted(pictures(inside)) or sorted(sample.image for sample in masked)
    if not files:
        raise InputError(f"no photograph in {folder}; it should hold 64 or more like those that will be segmented")
    chosen, skipped = _choose(files, count + ENOUGH, seed, folder)
    calibration = sorted(chosen[:count])
    judged = sorted(chosen[count:] or chosen[:ENOUGH])
    digest = hashlib.sha256()
    for path in calibration:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    known = set(calibration)
    fresh = [sample for sample in masked if sample.image not in known] or masked
    return Photographs(calibration, judged, spread(fresh, ENOUGH), skipped, digest.hexdigest())


def _choose(files: list[Path], most: int, seed: int, folder: Path) -> tuple[list[Path], int]:
    """Draw photographs that can be read and show something; the second number tells how many were passed over."""
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
        raise InputError(f"every photograph in {folder} is of one colour; activations cannot be learnt from that")
    return chosen, skipped


def _read(path: Path) -> NDArray[np.uint8] | None:
    try:
        return read_image(path)
    except InputError:
        return None


def _masked(folder: Path) -> Sequence[Sample]:
    """Photographs with known masks, if the folder has a layout for that."""
    try:
        return open_dataset(folder).samples
    except InputError:  # No masks there, which is what most folders are like.
        return []
