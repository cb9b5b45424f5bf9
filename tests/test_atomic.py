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
    (tmp_path / "folder").mkdir()
    for obstacle in (tmp_path / "blocked" / "x", tmp_path / "folder"):
        with pytest.raises(OSError, match=obstacle.name) as failure:
            write_files({tmp_path / "kept": b"new", tmp_path / "fresh": b"new", obstacle: b"new"})
        assert failure.value.filename == str(obstacle)
        assert (tmp_path / "kept").read_bytes() == b"old"
        assert {p.name for p in tmp_path.iterdir()} == {"kept", "blocked", "folder"}


def test_a_name_may_be_as_long_as_the_system_allows(tmp_path: Path) -> None:
    write_files({tmp_path / ("x" * 255): b"content"})
    assert len(list(tmp_path.iterdir())) == 1
