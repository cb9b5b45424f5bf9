"""Exportable model families, and detection of a checkpoint's family."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from edge_sam.errors import InputError
from edge_sam.export.checkpoint import first_names
from edge_sam.export.edgetam import EDGETAM
from edge_sam.export.efficient_sam import EFFICIENT_SAM
from edge_sam.export.efficientvit import EFFICIENTVIT_SAM, EFFICIENTVIT_SAM_XL
from edge_sam.export.family import Family
from edge_sam.export.hq_sam import HQ_SAM
from edge_sam.export.repvit_sam import EDGE_SAM, REPVIT_SAM
from edge_sam.export.sam2 import SAM2
from edge_sam.export.tiny_vit import MOBILE_SAM
from edge_sam.export.vit import SAM_VIT

FAMILIES: tuple[Family, ...] = (
    HQ_SAM,  # Before those that it is based on, whose tensors it has too.
    MOBILE_SAM,
    SAM2,
    EDGETAM,
    SAM_VIT,
    EDGE_SAM,
    REPVIT_SAM,
    EFFICIENTVIT_SAM_XL,  # Before the smaller ones, which have one stage less.
    EFFICIENTVIT_SAM,
    EFFICIENT_SAM,
)
"""The first whose mark a checkpoint has is its family."""
_UNSUPPORTED = {
    "EfficientTAM": "image_encoder.neck.convs.0.conv_1x1.weight",
}
"""Marks of families that cannot be exported yet, for error messages."""


def find_family(names: Collection[str], path: Path) -> Family:
    """Return the family of a checkpoint from the names of its tensors.

    Raises
    ------
    InputError
        The family cannot be exported. The message names it if it is known.
    """
    found = next((title for title, mark in _UNSUPPORTED.items() if mark in names), None)
    known = next((family for family in FAMILIES if family.mark in names), None)
    if known and not found:
        return known
    description = (
        f"a checkpoint of {found}"
        if found
        else f"not a checkpoint of a known SAM family ({first_names(sorted(names)) or 'no tensors'})"
    )
    raise InputError(f"{path} is {description}; this version exports {', '.join(family.title for family in FAMILIES)}")
