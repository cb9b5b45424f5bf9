"""Read untrusted numpy files, and encode arrays as such files."""

from __future__ import annotations

import io
import math
import os
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import InputError, one_line

_MOST_BYTES = 1 << 25
"""Size limit of a file and of an array in it: twice the largest image embedding, that of SAM 2."""
_LONGEST_HEADER = 1024
_NPY, _ZIP = b"\x93NUMPY", b"PK\x03\x04"
_FIELD = re.compile(
    r"""['"](?:descr['"]\s*:\s*['"](?P<descr>[<>=|]?[biuf]\d{1,2})['"]"""
    r"""|fortran_order['"]\s*:\s*(?P<fortran_order>True|False)"""
    r"""|shape['"]\s*:\s*\((?P<shape>[\d,\s]*)\))""",
    re.ASCII,
)


def load_arrays(path: Path, what: str, names: Iterable[str] = ()) -> dict[str, NDArray[Any]]:
    """Read arrays of real numbers from a ``.npz`` file, or one under the name ``""`` from a ``.npy`` file.

    Nothing is unpickled. Declared sizes are checked before anything is decompressed or allocated.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        Expected content, for error messages: "an image embedding".
    names : iterable of str
        Arrays to read from a ``.npz`` file. Missing ones are left out.

    Raises
    ------
    InputError
        The file cannot be read, is damaged or of another kind, or is larger than 32 MiB, as is an array in it.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"cannot read {str(path)!r}: {error}") from error
    try:
        with file:
            if os.fstat(file.fileno()).st_size > _MOST_BYTES:
                raise ValueError(f"it is larger than {_MOST_BYTES >> 20} MiB")
            if not file.peek(len(_ZIP)).startswith(_ZIP):
                return {"": _read_array(file)}
            with zipfile.ZipFile(file) as archive:
                members = {f"{name}.npy": name for name in names}
                return {members[m]: _read_member(archive, m) for m in archive.namelist() if m in members}
    except Exception as error:  # zipfile alone raises a dozen unrelated classes for damaged files.
        raise InputError(f"{path} is not {what}, or it is damaged: {one_line(error)}") from error


def _read_member(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    if archive.getinfo(name).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is compressed in a way that numpy does not use")  # LZMA may allocate 4 GB.
    with archive.open(name) as file:
        array = _read_array(file)
        if file.read(1):  # zipfile compares the checksum only at the end.
            raise ValueError(f"{name} is longer than its array")
    return array


def _read_array(file: IO[bytes]) -> NDArray[Any]:
    """Read an array in numpy's format.

    numpy's own reader evaluates the header as Python source, which may print warnings, and allocates any size that the
    header declares.
    """
    start = file.read(8)
    if start[:6] != _NPY:
        raise ValueError("it has no array in numpy's format")
    length = int.from_bytes(file.read(2 if start[6:7] == b"\1" else 4), "little")
    if length > _LONGEST_HEADER:
        raise ValueError(f"the header of an array has {length} bytes")
    header = file.read(length).decode("latin-1")
    fields = {field.lastgroup: field[field.lastgroup] for field in _FIELD.finditer(header) if field.lastgroup}
    if len(fields) < 3:
        raise ValueError(f"it has no array of real numbers: {header.strip()[:100]!r}")
    dtype = np.dtype(fields["descr"])
    shape = tuple(int(size) for size in fields["shape"].split(",") if size.strip())
    size = math.prod(shape) * dtype.itemsize
    if size > _MOST_BYTES:
        raise ValueError(f"an array of {shape} {dtype.name} is larger than {_MOST_BYTES >> 20} MiB")
    data = bytearray(file.read(size))  # An array over bytes would be read-only.
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fields["fortran_order"] == "True" else "C")


def encode_npy(array: NDArray[Any]) -> bytes:
    """Encode an array as a ``.npy`` file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()
