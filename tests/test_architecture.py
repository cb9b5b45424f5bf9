"""The house rules of CONTRIBUTING.md, checked."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDERS = {"edge_sam": "edge_sam", "export": "edge_sam.export", "quantize": "edge_sam.quantize"}
FOLDERS["runtimes"] = "edge_sam.runtimes"
HEAVY = (
    "av",
    "torch",
    "onnx",
    "onnxruntime",
    "openvino",
    "nncf",
    "matplotlib",
    "pycocotools",
    "requests",
    "pypi_simple",
    "prometheus_client",
    "starlette",
    "supervision",
    "uvicorn",
)


def test_every_package_is_listed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    found = set()
    for folder, name in FOLDERS.items():
        for init in (ROOT / folder).rglob("__init__.py"):
            below = init.parent.relative_to(ROOT / folder).parts
            found.add(".".join([name, *below]))
    assert found == set(settings["packages"])
    assert settings["package-dir"] == {name: folder for folder, name in FOLDERS.items()}


@pytest.mark.parametrize("module", ["edge_sam", "edge_sam.cli"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    script = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not set(HEAVY) & set(loaded)


def test_no_file_of_code_is_long() -> None:
    for folder in FOLDERS:
        for file in (ROOT / folder).rglob("*.py"):
            assert len(file.read_text(encoding="utf-8").splitlines()) <= 300, file
