"""JSON of values that hold paths: not every path is UTF-8, and msgspec refuses the surrogates of those that are not."""

from __future__ import annotations

import json
from typing import Any

import msgspec


def to_json(value: object, *, indent: int | None = None) -> bytes:
    """Write a value; what is not UTF-8 in a path becomes an escape, as Python's own `json` writes it."""
    try:
        data = msgspec.json.encode(value)
    except UnicodeEncodeError:
        separators = (",", ":" if indent is None else ": ")
        return json.dumps(msgspec.to_builtins(value), allow_nan=False, indent=indent, separators=separators).encode()
    return data if indent is None else msgspec.json.format(data, indent=indent)


def decode_json(data: bytes | str, kind: Any) -> Any:
    """Read JSON as a type of msgspec; `msgspec.DecodeError` where it is damaged or of another form.

    msgspec itself raises other errors too: where text is not UTF-8, and where lists are nested too deeply.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (UnicodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error


def from_json(data: bytes, kind: Any) -> Any:
    """Read what `to_json` wrote; see `decode_json`."""
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
