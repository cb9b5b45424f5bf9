"""Boards may install the package without its dependencies: what docs/boards.md says needs no more than it says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PHOTOGRAPHS
from test_arm import core_requirements

from edge_sam.cli import _error_line
from edge_sam.system.requirements import CORE

COFFEE = PHOTOGRAPHS / "coffee.png"
PYTHON_ALONE = {"numpy", "cv2", "onnxruntime", "PIL", "msgspec", "platformdirs"}
COMMAND_LINE = PYTHON_ALONE | {"cyclopts", "attr", "attrs", "docstring_parser", "rich"}
if sys.version_info < (3, 11):
    COMMAND_LINE |= {"typing_extensions"}
SEGMENT = COMMAND_LINE | {"pycocotools"}
ONLY = """
import sys
from importlib.abc import MetaPathFinder

class Only(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in {allowed} | sys.stdlib_module_names | {{"edge_sam"}} or top.startswith("__editable__"):
            return None
        raise ModuleNotFoundError(f"No module named {{name!r}}", name=top)

sys.meta_path.insert(0, Only())
"""
"""Stands for an environment that has these packages alone."""
PREDICT = """
import edge_sam
predictor = edge_sam.load("mobile-sam", runtime="onnxruntime", strict=True)
embedding = predictor.encode(sys.argv[1], long_side=256)
result = predictor.predict(embedding, edge_sam.Prompt(box=(76, 18, 478, 390)), multimask=False)
print(result.masks.shape, int(result.masks.sum()))
"""
COMMAND = "from edge_sam.__main__ import main; main()"


def run_with(allowed: set[str], script: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", ONLY.format(allowed=allowed) + script, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_python_alone(tmp_path: Path) -> None:
    done = run_with(PYTHON_ALONE, PREDICT, COFFEE, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shape, area = done.stdout.rsplit(" ", 1)
    assert shape == "(1, 400, 600)"
    assert int(area) > 50_000


def test_the_command_line(tmp_path: Path) -> None:
    options = ("--box", "76,18,478,390", "--long-side", "256", "--output", "out", "--json")
    done = run_with(SEGMENT, COMMAND, "segment", COFFEE, *options, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert Path(tmp_path, json.loads(done.stdout)["masks"][0]["file"]).is_file()


@pytest.mark.parametrize(
    ("allowed", "missing"),
    [(COMMAND_LINE - {"cyclopts"}, "cyclopts"), (COMMAND_LINE, "pycocotools")],
)
def test_what_is_missing_is_named_in_one_line(allowed: set[str], missing: str, tmp_path: Path) -> None:
    options = ("--box", "76,18,478,390", "--long-side", "256", "--output", "out")
    done = run_with(allowed, COMMAND, "segment", COFFEE, *options, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("error: ")
    assert f"{missing}" in done.stderr
    assert "pip install edge-sam" in done.stderr


def test_only_what_the_package_brings_is_said_to_be_brought() -> None:
    modules = {"opencv-python-headless": "cv2", "pillow": "PIL"}
    names = [re.split(r"[<>=]", requirement)[0] for requirement in core_requirements()]
    assert {modules.get(name, name.replace("-", "_")) for name in names} == CORE
    for name, brought in (("PIL.Image", True), ("a_plugin", False)):
        line, code = _error_line(ModuleNotFoundError(f"No module named {name!r}", name=name))
        assert line.startswith(f"{name} is not installed")
        assert ("pip install edge-sam" in line, code) == (brought, 1)
    assert _error_line(ModuleNotFoundError("no plug-in"))[0].startswith("no plug-in (")
