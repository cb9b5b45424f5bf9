"""The house rules of CONTRIBUTING.md, checked."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDERS = {"edge_sam": "edge_sam", "export": "edge_sam.export", "quantize": "edge_sam.quantize"}
FOLDERS["runtimes"] = "edge_sam.runtimes"
MAY_IMPORT = {
    "runtimes": {"edge_sam.runtimes"},
    "edge_sam": {"edge_sam", "edge_sam.runtimes"},
    "quantize": {"edge_sam", "edge_sam.runtimes", "edge_sam.quantize"},
    "export": {"edge_sam", "edge_sam.runtimes", "edge_sam.export"},
}
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
)


def room(module: str) -> str:
    """The folder, by import name, that a module of ours belongs to."""
    parts = module.split(".")
    return f"edge_sam.{parts[1]}" if parts[1:2] and parts[1] in FOLDERS and parts[1] != "edge_sam" else "edge_sam"


def our_imports(path: Path) -> set[str]:
    """Modules of ours that a file imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names if node.module == "edge_sam"}
    return {name for name in names if name.split(".")[0] == "edge_sam"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_imports_only_what_it_may(folder: str) -> None:
    files = list((ROOT / folder).rglob("*.py"))
    assert files
    for file in files:
        rooms = {room(name) for name in our_imports(file)}
        if file.parent.name == "cli":  # Commands start the work that lives in the other folders.
            rooms -= {"edge_sam.export", "edge_sam.quantize"}
        assert rooms <= MAY_IMPORT[folder], file


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
