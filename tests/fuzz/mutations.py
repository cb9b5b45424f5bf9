"""Mutations that keep the outer form of an input whole, so that they reach what lies behind parser and checksum."""

from __future__ import annotations

import io
import json
import re
import struct
import warnings
import zipfile
import zlib
from random import Random
from typing import Any

_INTEGERS = (0, 1, 2, 3, 4, 8, 16, 127, 128, 255, 256, 257, 32767, 65535, 65536, 99999, 2**31 - 1, 2**31, 2**32, 2**63)
_NUMBERS = (*_INTEGERS, *(-i for i in _INTEGERS), 0.5, -0.0, 1e-320, 1e9, 3e38, 1e39, 1.7e308, 10**400)
_TOKENS = (
    b"NaN",
    b"1e999",
    b"-Infinity",
    b"null",
    b"true",
    b"{}",
    b"[]",
    b"[" * 3000,
    b'"\\ud800"',
    b"\xff",
    b"\0",
    b"\n",
)
_PNG = b"\x89PNG\r\n\x1a\n"
_NPY = b"\x93NUMPY"


def mutate(data: bytes, random: Random) -> bytes:
    """Change an input a little: by its form four times of five, and as bytes else."""
    if random.random() < 0.8:
        for form in (_zip, _npy, _png, _json, _lines):
            changed = form(data, random)
            if changed is not None:
                return changed
    return _bytes(data, random)


def _bytes(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4, 8))):
        at, length = random.randrange(len(changed) + 1), random.choice((1, 1, 2, 4, 8, 64, len(changed)))
        match random.randrange(7):
            case 0:
                changed[at : at + 1] = random.randbytes(1)
            case 1:
                del changed[at : at + length]
            case 2:
                other = random.randrange(len(changed) + 1)
                changed[at:at] = changed[other : other + length]
            case 3:
                code = random.choice((">H", "<H", ">I", "<I"))
                value = random.choice(_INTEGERS) % (1 << 8 * struct.calcsize(code))
                changed[at : at + struct.calcsize(code)] = struct.pack(code, value)
            case 4:
                changed[at:at] = random.choice(_TOKENS)
            case 5:
                _number(changed, random)
            case _:
                if at < len(changed):
                    changed[at] ^= 1 << random.randrange(8)
    return bytes(changed)


def _number(changed: bytearray, random: Random) -> None:
    """Replace a number that is written in digits."""
    numbers = [match.span() for match in re.finditer(rb"-?\d+(\.\d+)?", changed)]
    if numbers:
        start, end = random.choice(numbers)
        changed[start:end] = str(random.choice(_NUMBERS)).encode()


def _zip(data: bytes, random: Random) -> bytes | None:
    """Change a member of an archive, its name or its compression; the checksums fit."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(info.file_size for info in archive.infolist()) > 1 << 20:
                return None
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    except Exception:  # Mutated before, so that it can be damaged in any way.
        return None
    if not members:
        return None
    at = random.randrange(len(members))
    name, content = members[at]
    kind = random.choice((0, 0, 0, 0, 0, 0, 8, 8, 12, 14))
    match random.randrange(12):
        case 0:
            del members[at]
        case 1:
            members.insert(at, random.choice(members))
        case 2:
            members[at] = (random.choice(members)[0], content)
        case 3:
            members[at] = (name, random.choice(members)[1])
        case _:
            members[at] = (name, mutate(content, random))
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as archive:
        warnings.simplefilter("ignore")  # Two members of one name are meant.
        for name, content in members:
            archive.writestr(name, content, kind)
    return buffer.getvalue()


def _npy(data: bytes, random: Random) -> bytes | None:
    """Change the header of an array or its contents; the header's length fits, and mostly the shape."""
    if not data.startswith(_NPY) or len(data) < 10:
        return None
    length = int.from_bytes(data[8:10], "little")
    header, content = data[10 : 10 + length], data[10 + length :]
    if random.random() < 0.5:
        header = _bytes(header, random)
    else:
        content = mutate(content, random)
        if random.random() < 0.8:
            header = re.sub(rb"\(\d+,\)", b"(%d,)" % len(content), header)
    return data[:8] + struct.pack("<H", len(header) % 65536) + header + content


def _png(data: bytes, random: Random) -> bytes | None:
    """Change a chunk, its place or its type; the checksums fit."""
    if not data.startswith(_PNG):
        return None
    chunks, position = [], len(_PNG)
    while len(data) >= position + 12:
        length = int.from_bytes(data[position : position + 4], "big")
        chunks.append((data[position + 4 : position + 8], data[position + 8 : position + 8 + length]))
        position += 12 + length
    if not chunks:
        return None
    at = random.randrange(len(chunks))
    name, content = chunks[at]
    match random.randrange(8):
        case 0:
            del chunks[at]
        case 1:
            chunks.insert(random.randrange(len(chunks)), chunks[at])
        case 2 if name == b"IDAT":
            try:
                pixels = zlib.decompressobj().decompress(content, 1 << 20)
            except zlib.error:
                return None
            chunks[at] = (name, zlib.compress(_bytes(pixels, random)))
        case _:
            chunks[at] = (name, _bytes(content, random))
    parts = (struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks)
    return _PNG + b"".join(parts)


def _json(data: bytes, random: Random) -> bytes | None:
    """Change a value somewhere in a document."""
    try:
        document = json.loads(data)
        holders: list[Any] = []
        _containers(document, holders)
    except (ValueError, RecursionError):
        return None
    if not holders:
        return None
    for _ in range(random.choice((1, 1, 2, 3))):
        holder = random.choice(holders)
        if not holder:
            continue
        key = random.choice(list(holder)) if isinstance(holder, dict) else random.randrange(len(holder))
        match random.randrange(9):
            case 0:
                del holder[key]
            case 1:
                holder[key] = [holder[key]]
            case 8 if isinstance(holder, dict):
                holder[random.choice((*holder, "a\nb", "é"))] = holder.pop(key)
            case 2 if isinstance(holder, list):
                holder.insert(key, holder[key])
            case 2 | 3:
                other = random.choice(holders)
                holder[key] = random.choice(list(other.values() if isinstance(other, dict) else other) or [other])
            case 4:
                holder[key] = random.choice((None, True, "", "a" * 300, "../x", "a\n\x1b[2J", "é", [], {}, [[]], "12"))
            case _:
                holder[key] = random.choice(_NUMBERS)
    try:
        return json.dumps(document).encode()
    except (ValueError, RecursionError):  # It holds itself now.
        return None


def _containers(value: Any, found: list[Any]) -> None:
    if isinstance(value, dict | list):
        found.append(value)
        for inner in value.values() if isinstance(value, dict) else value:
            _containers(inner, found)


def _lines(data: bytes, random: Random) -> bytes | None:
    """Change one line of a text, where it is JSON as such; or the order of lines."""
    lines = data.splitlines(keepends=True)
    if len(lines) < 2 or b"\0" in data:
        return None
    at = random.randrange(len(lines))
    match random.randrange(6):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, random.choice(lines))
        case _:
            lines[at] = (_json(lines[at], random) or _bytes(lines[at].rstrip(b"\n"), random)) + b"\n"
    return b"".join(lines)
