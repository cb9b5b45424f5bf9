"""Readers of datasets. Each layout is a module with `found` and `read`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

from edge_sam.errors import InputError
from edge_sam.evaluation.datasets import coco, davis, folder, voc
from edge_sam.evaluation.samples import Dataset
from edge_sam.imaging.images import evenly_spaced


class Layout(Protocol):
    """A module that reads one layout."""

    def found(self, path: Path) -> bool:
        """Return whether a folder (or file) has this layout."""
        ...

    def read(self, path: Path, split: str | None) -> Dataset:
        """List its photographs; see `open_dataset`."""
        ...


LAYOUTS: dict[str, Layout] = {"folder": folder, "voc": voc, "davis": davis, "coco": coco}
"""Module of each layout, in the order of detection."""
_EXPECTED = (
    "expected images/ and masks/; or annotations/instances_*.json (COCO); or JPEGImages/ with SegmentationObject/ (VOC)"
    " or with Annotations/ (DAVIS); or a folder for each video with frames/ and masks/"
)


def open_dataset(path: Path, *, layout: str = "auto", split: str | None = None, limit: int | None = None) -> Dataset:
    """Detect a dataset's layout and list its photographs. No pixels are read yet.

    Parameters
    ----------
    path : Path
        Its folder, or for COCO also the JSON file.
    layout : str
        A name in `LAYOUTS`, or ``"auto"``.
    split : str, optional
        Which of its lists to take. Default: ``val`` if it exists, else all photographs.
    limit : int, optional
        Largest number of photographs, spread evenly over the list, and of videos.

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        The layout or split is unknown, there are no photographs, or a photograph has no mask.
    """
    if layout not in ("auto", *LAYOUTS):
        raise InputError(f"unknown layout {layout!r}; known: auto, {', '.join(LAYOUTS)}")
    if not path.is_dir() and not (path.is_file() and path.suffix == ".json"):
        what = "is neither a folder nor a COCO JSON file" if path.exists() else "does not exist"
        raise InputError(f"dataset {path} {what}")
    fitting = [module for name, module in LAYOUTS.items() if layout in ("auto", name) and module.found(path)]
    if not fitting:
        kind = "of a known layout" if layout == "auto" else f"of layout {layout}"
        raise InputError(f"{path} is not a dataset {kind}: {_EXPECTED}")
    dataset = fitting[0].read(path, split)
    if limit is None:
        return dataset
    if limit < 1:
        raise InputError(f"the limit must be at least 1, not {limit}")
    return replace(dataset, samples=evenly_spaced(dataset.samples, limit), clips=evenly_spaced(dataset.clips, limit))
