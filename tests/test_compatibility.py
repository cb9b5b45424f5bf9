"""What a release wrote is read for ever, and what its users call is still there; see docs/compatibility.md."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import PHOTOGRAPHS, ROOT
from public_api import public_api
from test_cli import edge_sam as command

import edge_sam
from edge_sam.bundles.manifest import SCHEMA, parse_manifest
from edge_sam.imaging.masks import decode_rle, iou
from edge_sam.predictor import Predictor

GOLDEN = ROOT / "tests" / "golden"
FILES = sorted(GOLDEN.glob("*/*"))


def golden(pattern: str) -> pytest.MarkDecorator:
    found = [pytest.param(file, id=f"{file.parent.name}/{file.name}") for file in FILES if file.match(pattern)]
    assert found, pattern
    return pytest.mark.parametrize("file", found)


def lost(before: Any, now: Any, where: str = "") -> list[str]:
    """Return what a value of JSON has no more: keys, and values of another type. Numbers are numbers; null is any."""
    if isinstance(before, dict):
        if not isinstance(now, dict):
            return [where]
        return [each for key, value in before.items() for each in _lost_key(value, now, key, where)]
    if isinstance(before, list):
        if not isinstance(now, list):
            return [where]
        return lost(before[0], now[0], f"{where}[]") if before and now else []
    number = int | float
    if before is None or now is None or (isinstance(before, number) and isinstance(now, number)):
        return []
    return [] if type(before) is type(now) else [where]


def _lost_key(value: Any, now: dict[str, Any], key: str, where: str) -> list[str]:
    path = f"{where}.{key}"
    return lost(value, now[key], path) if key in now else [path]


@golden("manifest-*.json")
def test_bundles_are_read(file: Path) -> None:
    text = file.read_bytes()
    manifest = parse_manifest(text, file.name)
    assert manifest.schema == json.loads(text)["schema"] <= SCHEMA
    assert {part.role for part in manifest.components} >= {"encoder", "decoder"}


@golden("embedding-*.npz")
def test_embeddings_are_read(file: Path, predictor: Predictor) -> None:
    embedding = edge_sam.ImageEmbedding.load(file)
    asked = file.with_suffix(".json")
    if asked.exists():
        expected = json.loads(asked.read_text())
        result = predictor.predict(embedding, edge_sam.Prompt(box=tuple(expected["box"])), multimask=False)
        assert iou(result.masks[0], decode_rle(expected["rle"])) > 0.98
    else:
        assert set(embedding.high_res) == {"high_res_0", "high_res_1"}


@golden("command-*.json")
def test_commands_print_what_they_did(file: Path, tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    for name in ("coffee.png", "frames/0.png", "frames/1.png"):
        shutil.copy(PHOTOGRAPHS / "coffee.png", tmp_path / name)
    kept = json.loads(file.read_text())
    done = command(*kept["command"].split(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    now = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(now) == len(kept["output"])
    assert [each for before, after in zip(kept["output"], now, strict=True) for each in lost(before, after)] == []


@golden("schema-*.json")
def test_reports_keep_their_fields(file: Path) -> None:
    before = json.loads(file.read_text())["$defs"]
    now = json.loads((ROOT / "docs" / "schemas" / file.name.removeprefix("schema-")).read_text())["$defs"]
    for name, schema in before.items():
        assert set(schema["properties"]) <= set(now[name]["properties"]), name
        assert set(schema.get("required", ())) <= set(now[name].get("required", ())), name


@golden("python.json")
def test_calls_still_work(file: Path) -> None:
    """No name and no parameter went, and no new parameter is required."""
    before, now = json.loads(file.read_text()), public_api()
    assert set(before) - set(now) == set()
    for name, parameters in before.items():
        if parameters is None:
            continue
        present = now[name]
        assert present is not None, name
        assert set(parameters) <= set(present), name
        required = {parameter for parameter, needed in present.items() if needed}
        assert required <= {parameter for parameter, needed in parameters.items() if needed}, name


def test_what_is_lost_is_seen() -> None:
    before = {"a": [{"b": 1}], "c": None, "d": "x"}
    assert lost(before, {"a": [{"b": 2.5, "new": 1}], "c": 3, "d": "y"}) == []
    assert lost(before, {"a": [{}], "c": 3, "d": 4}) == [".a[].b", ".d"]
    assert lost(before, {"a": {}, "d": "x"}) == [".a", ".c"]
