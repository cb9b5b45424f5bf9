"""The wheel holds the package and nothing else, and is small."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

LARGEST = 25_000_000
FOLDERS = {"edge_sam": "edge_sam", "edge_sam/export": "export", "edge_sam/quantize": "quantize"}
FOLDERS["edge_sam/runtimes"] = "runtimes"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, so that no old build output is in the way."""
    source, output = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in ("edge_sam", "export", "quantize", "runtimes", "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(output)], cwd=source, check=True, capture_output=True)
    (made,) = output.glob("*.whl")
    return made


def test_it_is_pure_and_small(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    assert wheel.stat().st_size < LARGEST


def test_it_holds_each_file_of_the_package_and_no_other(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    wanted = set()
    for place, folder in FOLDERS.items():
        for file in (ROOT / folder).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                wanted.add(f"{place}/{file.relative_to(ROOT / folder).as_posix()}")
    assert held == wanted
    suffixes = {Path(name).suffix for name in held}
    assert not suffixes & {".pyc", ".so", ".pt", ".pth", ".part", ".lock"}


def test_it_says_what_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(name for name in names if name.endswith(".dist-info/METADATA"))).decode()
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert {"edge_sam/bundles/mobile-sam/LICENSE", "edge_sam/bundles/mobile-sam/NOTICE"} <= set(names)
    assert "edge_sam/bundles/sbom.cdx.json" in names
    assert "edge_sam/py.typed" in names
    assert "\nRequires-Python: >=3.10\n" in metadata
    assert "torch" not in "".join(
        line for line in metadata.splitlines() if line.startswith("Requires-Dist:") and "extra ==" not in line
    )
