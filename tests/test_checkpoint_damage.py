"""Checkpoints that take memory out of proportion, or make noise."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from pathlib import Path

import pytest
import torch

from edge_sam.errors import InputError
from edge_sam.export.checkpoint import read_checkpoint


def test_refuses_a_compressed_checkpoint(tmp_path: Path) -> None:
    """One of 200 kB gave 200 MB."""
    torch.save({"a": torch.zeros(1000)}, tmp_path / "stored.pt")
    assert read_checkpoint(tmp_path / "stored.pt")[0]["a"].shape == (1000,)
    with (
        zipfile.ZipFile(tmp_path / "stored.pt") as stored,
        zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for member in stored.infolist():
            packed.writestr(member.filename, stored.read(member))
    with pytest.raises(InputError, match="compressed"):
        read_checkpoint(tmp_path / "packed.pt")


@pytest.mark.parametrize("archive", [False, True])
def test_refuses_zeros_that_are_not_stored(tmp_path: Path, archive: bool) -> None:
    path = tmp_path / "a.pt"
    torch.save({"a": torch.zeros(1), "length": 4_000_000_000}, path, _use_new_zipfile_serialization=archive)
    # `bytearray(length)`, instead of the number.
    data = path.read_bytes()
    number = pickle.encode_long(4_000_000_000)
    plain = b"\x8a" + bytes([len(number)]) + number
    assert plain in data
    if archive:
        with zipfile.ZipFile(path) as file:
            members = {name: file.read(name) for name in file.namelist()}
        with zipfile.ZipFile(path, "w") as file:
            for name, content in members.items():
                file.writestr(name, content.replace(plain, b"cbuiltins\nbytearray\n" + plain + b"\x85R"))
    else:
        path.write_bytes(data.replace(plain, b"cbuiltins\nbytearray\n" + plain + b"\x85R"))
    with pytest.raises(InputError, match="bytearray"):
        read_checkpoint(path)


def test_torch_s_warnings_do_not_come_through(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save({"a": torch.zeros(1)}, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes().replace(b"\x80\x02", b"\x80\x20"))  # Protocol 32 of pickle.
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        read_checkpoint(path)
    assert not seen
