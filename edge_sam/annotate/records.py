"""What is kept of one photograph: its masks, or why it was skipped."""

from __future__ import annotations

from typing import Any

import msgspec

from edge_sam.annotate.sources import Item


class GivenPrompt(msgspec.Struct, frozen=True):
    """A prompt from a file: XYXY box, XY points with labels, in pixels, and what kind of object it points at."""

    box: tuple[float, float, float, float] | None = None
    points: tuple[tuple[float, float], ...] | None = None
    labels: tuple[int, ...] | None = None
    category: str = "object"


class Task(msgspec.Struct, frozen=True):
    """One photograph to do.

    Attributes
    ----------
    key : str
        Name of its record: a hash of everything about the photograph that decides its masks.
    item : Item
        The photograph.
    prompts : tuple of GivenPrompt
        What a file asks on it.
    region : str or None
        Picture of its valid region.
    """

    key: str
    item: Item
    prompts: tuple[GivenPrompt, ...] = ()
    region: str | None = None


class Mask(msgspec.Struct, frozen=True):
    """One mask; fields as in the reference generator's records, the segmentation as COCO RLE."""

    segmentation: dict[str, Any]
    area: int
    bbox: tuple[int, int, int, int]
    predicted_iou: float
    stability_score: float
    point_coords: list[list[float]]
    crop_box: tuple[int, int, int, int]
    category: str = "object"

    @classmethod
    def of(cls, record: dict[str, Any], category: str = "object") -> Mask:
        """Make one of a record of `MaskGenerator`; of scores five digits, what is beyond them is noise."""
        rounded = {
            "predicted_iou": round(record["predicted_iou"], 5),
            "stability_score": round(record["stability_score"], 5),
            "point_coords": [[round(x, 2), round(y, 2)] for x, y in record["point_coords"]],
            "category": category,
        }
        return msgspec.convert(record | rounded, cls)


class Record(msgspec.Struct, frozen=True):
    """One photograph, done.

    Attributes
    ----------
    name : str
        As the data set calls it.
    width, height : int
        In pixels; 0 where it was skipped.
    masks : list of Mask
        What passed.
    prompts : int
        Prompts that were asked.
    rejected : dict of str to int
        Masks (and prompts) that did not pass, by reason.
    skipped : str or None
        Why there is nothing: the photograph is damaged.
    """

    name: str
    width: int = 0
    height: int = 0
    masks: list[Mask] = []
    prompts: int = 0
    rejected: dict[str, int] = {}
    skipped: str | None = None


class Outcome(msgspec.Struct, frozen=True):
    """What a worker gives back: a record, or why there is none this time (another run may succeed); seconds it took."""

    task: Task
    record: Record | None
    failure: str | None = None
    seconds: float = 0.0
