"""Files appear whole or not at all."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from edge_sam.atomic import write_files


def test_writes_and_replaces(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file"
    for content in (b"one", b"two"):
        write_files({target: content})
        assert target.read_bytes() == content
    assert [p.name for p in target.parent.iterdir()] == ["file"]
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(ordinary.stat().st_mode)


def test_one_failure_leaves_all_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(b"old")
    (tmp_path / "blocked").touch()
    with pytest.raises(OSError, match=r"(?i)not a directory|exists"):
        write_files({tmp_path / "kept": b"new", tmp_path / "fresh": b"new", tmp_path / "blocked" / "x": b"new"})
    assert (tmp_path / "kept").read_bytes() == b"old"
    assert {p.name for p in tmp_path.iterdir()} == {"kept", "blocked"}
