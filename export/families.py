"""The families that can be exported, and how a checkpoint shows which it is of."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from edge_sam.errors import InputError
from edge_sam.export.family import Family
from edge_sam.export.tiny_vit import MOBILE_SAM

FAMILIES: tuple[Family, ...] = (MOBILE_SAM,)
_ELSEWHERE = {
    "SAM (ViT)": "image_encoder.blocks.0.attn.rel_pos_h",
    "SAM 2": "sam_mask_decoder.iou_token.weight",
    "EdgeSAM (RepViT)": "image_encoder.features.0.0.c.weight",
}
"""Marks of families that cannot be exported yet, so that a refusal can name them."""


def find_family(names: Collection[str], path: Path) -> Family:
    """Tell from the names of a checkpoint's tensors which family it is of.

    Raises
    ------
    InputError
        None that can be exported; the message says which it is instead, where that is known.
    """
    for family in FAMILIES:
        if family.mark in names:
            return family
    found = next((title for title, mark in _ELSEWHERE.items() if mark in names), None)
    what = f"a checkpoint of {found}" if found else "not a checkpoint of a known SAM family"
    raise InputError(f"{path} is {what}; this version exports {', '.join(family.title for family in FAMILIES)}")
