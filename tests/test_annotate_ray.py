"""The data engine on a local Ray cluster of two workers."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from conftest import PHOTOGRAPHS
from test_annotate_hostile import HOSTILE, started_by_script
from test_cli import edge_sam, refused

pytestmark = pytest.mark.thorough

pytest.importorskip("ray", reason='needs Ray: pip install "edge-sam[ray]"')
FUNCTION = """
import os, edge_sam

def middle(image, name):
    if name == "rocket.jpg" and "BROKEN" in os.environ:
        raise RuntimeError("no prompts today")
    height, width = image.shape[:2]
    return [edge_sam.Prompt(box=(width / 4, height / 4, width / 2, height))]
"""


def test_ray_gives_the_same_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "photos").mkdir()
    for name in ("coffee.png", "rocket.jpg", "astronaut.png"):
        shutil.copy(PHOTOGRAPHS / name, tmp_path / "photos" / name)
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"not a photograph")
    (tmp_path / "mine.py").write_text(FUNCTION)
    (tmp_path / "numpy.py").write_text(HOSTILE)
    arguments = ("annotate", "photos", "--prompts", "mine.py:middle", "--long-side", "256", "--workers", "2", "--json")
    on_ray = (*arguments, "--output", "ray.json", "--engine", "ray", "--threads", "1")

    os.environ["BROKEN"] = ""
    try:
        run = started_by_script(tmp_path, *on_ray)
    finally:
        del os.environ["BROKEN"]
    assert run.returncode == 1, run.stderr
    report = json.loads(run.stdout)
    assert report["done_now"] == 3
    assert [entry["name"] for entry in report["skipped"]] == ["broken.jpg"]
    assert report["failed"] == [{"name": "rocket.jpg", "reason": "RuntimeError: no prompts today"}]

    run = started_by_script(tmp_path, *on_ray)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["done_now"] == 1

    assert not list((tmp_path / "home").iterdir())

    run = started_by_script(tmp_path, *arguments, "--output", "local.json")
    assert run.returncode == 0, run.stderr
    assert not list(tmp_path.glob("IMPORTED-*"))
    assert (tmp_path / "ray.json").read_bytes() == (tmp_path / "local.json").read_bytes()


def test_no_cluster_at_the_address(tmp_path: Path) -> None:
    shutil.copy(PHOTOGRAPHS / "rocket.jpg", tmp_path)
    arguments = ("--output", "o.json", "--engine", "ray", "--ray-address", "127.0.0.1:1")
    assert "no Ray cluster answers at 127.0.0.1:1" in refused(
        edge_sam("annotate", "rocket.jpg", *arguments, cwd=tmp_path)
    )
