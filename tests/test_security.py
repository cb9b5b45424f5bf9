"""What SECURITY.md promises is shown by tests that exist, and the list of parts is that of this package."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from pathlib import Path

import pytest
from conftest import ROOT

FOLDERS = ("edge_sam", "export", "quantize", "runtimes")
PROMISE = re.compile(r"`(test_\w+\.py)::([\w:]+)`")
CODE_READERS = {"pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle"}


def promises() -> list[tuple[str, str]]:
    return PROMISE.findall((ROOT / "SECURITY.md").read_text(encoding="utf-8"))


def test_each_entry_point_has_its_tests() -> None:
    lines = (ROOT / "SECURITY.md").read_text(encoding="utf-8").splitlines()
    start = lines.index("| entry point | promise | shown by |") + 2
    rows = lines[start : lines.index("", start)]
    assert len(rows) > 15
    assert [row for row in rows if not PROMISE.search(row)] == []


@pytest.mark.parametrize("file", sorted({file for file, _ in promises()}))
def test_the_tests_exist(file: str) -> None:
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    there = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            there.add(node.name)
        elif isinstance(node, ast.ClassDef):
            there |= {f"{node.name}::{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)}
    assert {name for named, name in promises() if named == file} <= there


def test_nothing_is_read_as_code() -> None:
    """No module reads pickles, and PyTorch reads tensors only."""
    for path in (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]
                assert not CODE_READERS & {name.partition(".")[0] for name in names}, path
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "np.load", "numpy.load"):
                safe = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert safe.get("weights_only") == "True" or safe.get("allow_pickle") == "False", path


def test_the_list_of_parts_is_up_to_date() -> None:
    """`make sbom` writes it."""
    spec = importlib.util.spec_from_file_location("sbom", ROOT / ".ci" / "sbom.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    written = json.loads(Path(script.OUTPUT).read_text(encoding="utf-8"))
    assert written == script.sbom()
