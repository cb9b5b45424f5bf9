"""The record of one photograph: its masks, or why it was skipped."""

from __future__ import annotations

from typing import Any

import msgspec

from edge_sam.annotate.sources import Item


class GivenPrompt(msgspec.Struct, frozen=True):
    """A prompt from a file: XYXY box or XY points with labels, in pixels, and the object's category."""

    box: tuple[float, float, float, float] | None = None
    points: tuple[tuple[float, float], ...] | None = None
    labels: tuple[int, ...] | None = None
    category: str = "object"


class Task(msgspec.Struct, frozen=True):
    """One photograph to annotate.

    Attributes
    ----------
    key : str
        Name of its record: a hash of everything about the photograph that affects its masks.
    item : Item
        The photograph.
    prompts : tuple of GivenPrompt
        Its prompts from a file.
    region : str or None
        Picture of its valid region.
    """

    key: str
    item: Item
    prompts: tuple[GivenPrompt, ...] = ()
    region: str | None = None


class LabelledMask(msgspec.Struct, frozen=True):
    """One mask with its category. The other fields are those of `edge_sam.everything.records.mask_record`."""

    segmentation: dict[str, Any]
    area: int
    bbox: tuple[int, int, int, int]
    predicted_iou: float
    stability_score: float
    point_coords: list[list[float]]
    crop_box: tuple[int, int, int, int]
    category: str = "object"

    @classmethod
    def of(cls, record: dict[str, Any], category: str = "object") -> LabelledMask:
        """Convert a `mask_record`. Scores are rounded to five digits, because further digits are noise."""
        rounded = {
            "predicted_iou": round(record["predicted_iou"], 5),
            "stability_score": round(record["stability_score"], 5),
            "point_coords": [[round(x, 2), round(y, 2)] for x, y in record["point_coords"]],
            "category": category,
        }
        return msgspec.convert(record | rounded, cls)


class Record(msgspec.Struct, frozen=True):
    """An annotated photograph.

    Attributes
    ----------
    name : str
        Its name in the data set.
    width, height : int
        In pixels. 0 if the photograph was skipped.
    masks : list of LabelledMask
        The masks that passed validation.
    prompts : int
        Number of prompts.
    rejected : dict of str to int
        Rejected masks and prompts by reason.
    skipped : str or None
        Why a damaged photograph was skipped.
    """

    name: str
    width: int = 0
    height: int = 0
    masks: list[LabelledMask] = []
    prompts: int = 0
    rejected: dict[str, int] = {}
    skipped: str | None = None


class Outcome(msgspec.Struct, frozen=True):
    """A worker's result: a record, or why the task failed this time, and the seconds it took."""

    task: Task
    record: Record | None
    failure: str | None = None
    seconds: float = 0.0
