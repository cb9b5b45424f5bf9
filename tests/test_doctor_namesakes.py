"""`edge-sam doctor` finds other code that is imported as `edge_sam`."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_sam.doctor.packages import namesakes


def test_finds_a_clone_of_the_models_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert namesakes() == []
    (tmp_path / "edge_sam").mkdir()
    (tmp_path / "edge_sam" / "__init__.py").touch()
    (conflict,) = namesakes()
    assert conflict.packages == ["edge-sam", str(tmp_path / "edge_sam")]
    assert str(tmp_path) in conflict.problem
    (tmp_path / "edge_sam" / "bundles").mkdir()
    (tmp_path / "edge_sam" / "bundles" / "zoo.json").touch()
    assert namesakes() == [], "a clone of this project is no conflict"


def test_finds_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    information = tmp_path / "research_code-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: research_code\nVersion: 1.0\n")
    (information / "top_level.txt").write_text("edge_sam\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (conflict,) = namesakes()
    assert conflict.packages == ["edge-sam", "research-code"]
    assert conflict.fix.startswith("pip uninstall -y research-code")
