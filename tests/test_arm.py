"""Every core dependency, and what it needs in turn, comes as a binary wheel for 64-bit ARM."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# pip does not infer older tags from a newer one. JetPack 6 is Ubuntu 22.04: glibc 2.35.
PLATFORMS = [f"manylinux_2_{minor}_aarch64" for minor in (17, 24, 27, 28)] + ["manylinux2014_aarch64"]
UNREACHABLE = re.compile(r"NewConnectionError|NameResolutionError|ConnectTimeoutError|Network is unreachable")


def core_requirements() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements: list[str] = project["dependencies"]
    return requirements


def resolve(requirements: list[str], python: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Let pip resolve for an ARM machine without installing; its report goes to standard output."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--dry-run"]
    pip += ["--ignore-installed", "--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
    pip += [f"--platform={tag}" for tag in PLATFORMS]
    pip += [f"--target={folder}", "--report=-", *requirements]
    return subprocess.run(pip, capture_output=True, text=True, check=False)


@pytest.mark.thorough
@pytest.mark.skipif(os.environ.get("EDGE_SAM_OFFLINE") == "1", reason="EDGE_SAM_OFFLINE=1")
@pytest.mark.parametrize("python", ["3.10", "3.12"])  # JetPack 6 and 7.
def test_core_dependencies_have_wheels(python: str, tmp_path: Path) -> None:
    done = resolve(core_requirements(), python, tmp_path / "target")
    if done.returncode and UNREACHABLE.search(done.stderr):
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    found = {
        item["metadata"]["name"].lower().replace("_", "-"): item["download_info"]["url"].rsplit("/", 1)[-1]
        for item in json.loads(done.stdout)["install"]
    }
    names = [re.split(r"[<>=!~;\[ ]", requirement)[0].lower() for requirement in core_requirements()]
    assert set(names) <= set(found)
    for wheel in found.values():
        assert wheel.endswith(("aarch64.whl", "-any.whl")), wheel
    assert found["onnxruntime"].endswith("aarch64.whl")
    assert not (tmp_path / "target").exists()


@pytest.mark.skipif(os.environ.get("EDGE_SAM_OFFLINE") == "1", reason="EDGE_SAM_OFFLINE=1")
def test_a_package_without_such_a_wheel_is_noticed(tmp_path: Path) -> None:
    done = resolve(["onnxruntime-gpu"], "3.12", tmp_path / "target")
    if UNREACHABLE.search(done.stderr):
        pytest.skip("no package index can be reached")
    assert done.returncode != 0
    assert "onnxruntime-gpu" in done.stderr
