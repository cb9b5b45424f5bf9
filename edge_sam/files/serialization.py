"""JSON of values with paths. Not every path is UTF-8, and msgspec rejects the surrogates of those that are not."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from edge_sam.files.text import printable


def to_json(value: object, *, indent: int | None = None) -> bytes:
    """Encode a value. Bytes of a path that are not UTF-8 become escapes, as in Python's `json`."""
    try:
        data = msgspec.json.encode(value)
    except UnicodeEncodeError:
        separators = (",", ":" if indent is None else ": ")
        return json.dumps(msgspec.to_builtins(value), allow_nan=False, indent=indent, separators=separators).encode()
    return data if indent is None else msgspec.json.format(data, indent=indent)


def decode_json(data: bytes | str, kind: Any) -> Any:
    """Decode JSON as a msgspec type. Raises `msgspec.DecodeError` with one line if it is damaged or does not fit.

    msgspec itself raises other errors for text that is not UTF-8 and for deep nesting, and quotes control characters.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise type(error)(printable(str(error))) from error
    except (UnicodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error


def from_json(data: bytes, kind: Any) -> Any:
    """Decode the output of `to_json`; see `decode_json`."""
    try:
        return decode_json(data, kind)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError as error:
        try:
            return msgspec.convert(json.loads(data), kind)
        except msgspec.ValidationError:
            raise
        except (ValueError, RecursionError):
            raise error from None
