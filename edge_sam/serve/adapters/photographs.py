"""Photographs inside JSON."""

from __future__ import annotations

import base64
import binascii

from edge_sam.errors import InputError


def decode_photograph(text: str) -> bytes:
    """Decode base64, alone or in a data URI. Addresses are not fetched. Raises `InputError`."""
    if "://" in text[:16]:
        raise InputError("the image is an address; this server fetches none, send the image itself as base64")
    if text.startswith("data:"):
        head, _, text = text.partition(",")
        if not head.endswith(";base64"):
            raise InputError("the image is a data URI without base64")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError("the image is not base64") from error
