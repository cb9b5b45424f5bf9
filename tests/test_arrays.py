"""Reading numpy files: whole ones as numpy reads them, hostile ones not at all."""

from __future__ import annotations

import io
import struct
import tracemalloc
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sam import ImageEmbedding, InputError
from edge_sam.files.arrays import load_arrays


def npy(header: str, content: bytes = b"", version: int = 1) -> bytes:
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header.encode() + content


def header(shape: str, descr: str = "'<f4'") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"


def refusal(path: Path, data: bytes) -> str:
    """Give the reason for which a file is refused, in little memory and without a warning."""
    path.write_bytes(data)
    tracemalloc.start()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with pytest.raises(InputError) as refused:
            load_arrays(path, "a file of numbers", ("a",))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40e6
    assert not seen
    return str(refused.value)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=">i2").reshape(2, 3)),
        np.array([True, False]),
        np.float16(3),
        np.zeros((0, 4), np.uint8),
        np.arange(4, dtype=np.longdouble)[None, None],
    ],
)
def test_reads_what_numpy_writes(tmp_path: Path, array: Any) -> None:
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", a=array)
    np.savez_compressed(tmp_path / "b.npz", a=array)
    for name, key in (("a.npy", ""), ("a.npz", "a"), ("b.npz", "a")):
        (read,) = load_arrays(tmp_path / name, "numbers", ("a", "absent")).values()
        np.testing.assert_array_equal(read, array, strict=True)
        assert read.flags.writeable
        assert load_arrays(tmp_path / name, "numbers", ("a",)).keys() == {key}


def test_reads_what_others_write(tmp_path: Path) -> None:
    text = """{"shape":(2,),"fortran_order":False,"descr":"<f4"}"""
    for version in (1, 2, 3):
        (tmp_path / "a.npy").write_bytes(npy(text, struct.pack("<2f", 1, 2), version))
        assert load_arrays(tmp_path / "a.npy", "numbers")[""].tolist() == [1, 2]


@pytest.mark.parametrize("shape", ["(700000000,)", "(1, 10000, 10000)", "(99999999999999999999,)"])
@pytest.mark.parametrize("archive", [False, True])
def test_refuses_a_bomb_before_it_is_decompressed(tmp_path: Path, shape: str, archive: bool) -> None:
    data = npy(header(shape), bytes(50_000_000 if archive else 1000))
    if archive:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("a.npy", data)
        data = buffer.getvalue()
    assert "is larger than 32 MiB" in refusal(tmp_path / "a", data)


def test_reads_only_the_arrays_of_an_embedding(embedding: ImageEmbedding, tmp_path: Path) -> None:
    embedding.save(tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "a.npz", "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bomb.npy", npy(header("(25000000,)"), bytes(100_000_000)))
    tracemalloc.start()
    ImageEmbedding.load(tmp_path / "a.npz")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40e6


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (header("(1,)", "'|O'"), "no array of real numbers"),
        (header("(1,)", "'<c8'"), "no array of real numbers"),
        (header("(1,)", "'<U4'"), "no array of real numbers"),
        (header("(1,)", "'2f4,O'"), "no array of real numbers"),
        (header("(1,)", "[('x', '<f4')]"), "no array of real numbers"),
        (header("(-1,)"), "no array of real numbers"),
        (header("(1L,)"), "no array of real numbers"),
        ("1or 2", "no array of real numbers"),
        (header("(1,)", "'<f3'"), "not understood"),
        (header("(9,)"), "damaged"),
        ("-" * 9000 + "1", "the header of an array has 9001 bytes"),
    ],
)
def test_refuses_a_hostile_header(tmp_path: Path, text: str, reason: str) -> None:
    assert reason in refusal(tmp_path / "a.npy", npy(text, bytes(8)))


@pytest.mark.parametrize("compression", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_refuses_other_compressions(tmp_path: Path, compression: int) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        file.writestr("a.npy", npy(header("(2,)"), bytes(8)))
    assert "compressed in a way that numpy does not use" in refusal(tmp_path / "a.npz", buffer.getvalue())


def test_refuses_an_array_whose_checksum_or_length_is_wrong(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.arange(1000.0))
    data = bytearray(buffer.getvalue())
    data[1000] ^= 1
    assert "CRC" in refusal(tmp_path / "a.npz", bytes(data))
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as file:
        file.writestr("a.npy", npy(header("(2,)"), bytes(12)))
    assert "longer than its array" in refusal(tmp_path / "a.npz", (tmp_path / "b.npz").read_bytes())


def test_refuses_a_large_file_unread(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    with path.open("wb") as file:
        file.truncate(10**11)
    with pytest.raises(InputError, match="it is larger than 32 MiB"):
        load_arrays(path, "numbers")
