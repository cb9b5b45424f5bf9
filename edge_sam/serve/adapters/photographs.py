"""Photographs inside JSON."""

from __future__ import annotations

import asyncio
import base64
import binascii

from edge_sam.errors import InputError

_PIECE = 1 << 20
"""Characters that are decoded at once: a multiple of 4. Other threads go on between two pieces."""


async def photograph_in(text: str) -> bytes:
    """Decode a photograph as `decode_photograph` does, without holding up other requests."""
    if len(text) <= _PIECE:
        return decode_photograph(text)
    return await asyncio.to_thread(decode_photograph, text)


def decode_photograph(text: str) -> bytes:
    """Decode base64, alone or in a data URI. Addresses are not fetched. Raises `InputError`."""
    if "://" in text[:16]:
        raise InputError("the image is an address; this server fetches none, send the image itself as base64")
    if text.startswith("data:"):
        head, _, text = text.partition(",")
        if not head.endswith(";base64"):
            raise InputError("the image is a data URI without base64")
    pieces = [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]
    if any(piece.endswith("=") for piece in pieces[:-1]):  # Padding is for the end.
        raise InputError("the image is not base64")
    try:
        return b"".join(base64.b64decode(piece, validate=True) for piece in pieces)
    except (binascii.Error, ValueError) as error:
        raise InputError("the image is not base64") from error
