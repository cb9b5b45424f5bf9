"""JSON that is damaged is told by one class of error."""

from __future__ import annotations

import msgspec
import pytest

from edge_sam.files.serialization import decode_json, from_json


@pytest.mark.parametrize("data", [b"", b"{", b'{"\xff": 1}', b"[" * 100_000, b'{"a": "\xff"}', b"[]"])
def test_damage_is_a_decode_error(data: bytes) -> None:
    for read in (decode_json, from_json):
        with pytest.raises(msgspec.DecodeError):
            read(data, dict)
