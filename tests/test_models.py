"""What `edge-sam models` says of accuracy, size and speed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from conftest import ROOT

from edge_sam.bundles import figures
from edge_sam.bundles.bundle import open_bundle
from edge_sam.bundles.costs import read_costs
from edge_sam.bundles.figures import Figure, Figures
from edge_sam.bundles.zoo import read_index
from edge_sam.cli.models import models

SLOW = Figure("mobile-sam", "int8", "onnxruntime", 1024, False, 12.5, 300.0, 20.0, 330.0, 70.0, 84.0, 60)
FAST = msgspec.structs.replace(SLOW, runtime="openvino", encode_ms=200.0, total_ms=230.0)
SMALL = msgspec.structs.replace(SLOW, long_side=512, total_ms=90.0)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Figures:
    found = Figures("2 cores of a processor", "2026-11-27", "drawn scene", "60 stills", (SLOW, FAST, SMALL))
    monkeypatch.setattr(figures, "read_figures", lambda: found)
    return found


def test_the_fastest_runtime_counts(measured: Figures) -> None:
    assert measured.fastest("mobile-sam", "int8") == FAST
    assert measured.fastest("mobile-sam", "int8", 512) == SMALL
    assert measured.fastest("mobile-sam", "w16") is None


def test_models_says_what_was_measured(measured: Figures, capsys: pytest.CaptureFixture[str]) -> None:
    models(json=True)
    printed = json.loads(capsys.readouterr().out)
    assert printed["figures"]["machine"] == measured.machine
    (mobile_sam, *_) = printed["models"]
    assert mobile_sam["precisions"]["int8"] == {
        "mb": 12.5,
        "here": [],
        "point": 70.0,
        "box": 84.0,
        "encode_ms": 200.0,
        "click_ms": 20.0,
        "runtime": "openvino",
        "long_side": 1024,
    }
    assert mobile_sam["precisions"]["w16"].keys() == {"mb", "here"}
    models()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["mobile-sam", "int8", "12.5", "70.0", "84.0", "200.0", "20.0"] in lines
    assert ["sam-vit-h", "Apache-2.0", "641.1", "2833", "2569", "1285", "651.9", "–"] in lines


def test_what_was_not_measured_is_estimated_from_the_operations(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the square that was measured: MobileSAM's photograph had fewer tokens than those that costs are counted on."""
    square = msgspec.structs.replace(SLOW, model="sam2-tiny", precision="w16", square=True, encode_ms=1407.0)
    monkeypatch.setattr(figures, "read_figures", lambda: Figures("2 cores", rows=(SLOW, square)))
    models(json=True)
    by_name = {model["name"]: model for model in json.loads(capsys.readouterr().out)["models"]}
    assert by_name["sam-vit-h"]["cost"]["encode_ms"] == 28_000
    assert "encode_ms" not in by_name["sam-vit-h"]["precisions"].get("w16", {})
    models()
    assert ["641.1", "2833", "2569", "1285", "651.9", "~28000"] in [
        line.split()[2:] for line in capsys.readouterr().out.splitlines()
    ]


def test_costs_are_those_of_the_zoo_and_of_real_files() -> None:
    costs = read_costs()
    assert list(costs) == list(read_index())
    assert open_bundle("mobile-sam").megabytes("w16") - costs["mobile-sam"].mb["w16"] == pytest.approx(1, abs=0.5)


def test_the_table_fits_into_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    models()
    printed = capsys.readouterr().out
    assert "~" in printed
    assert "…" not in printed


def test_what_was_not_measured_is_said_plainly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(figures, "read_figures", Figures)
    models(json=True)
    assert json.loads(capsys.readouterr().out)["figures"] is None
    models()
    assert "accuracy and milliseconds have not been measured yet" in capsys.readouterr().out


def test_the_page_is_what_the_script_writes(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "models.md").read_text()
    assert list(dict.fromkeys(re.findall(r"^\| `([^`]+)`", text, re.MULTILINE))) == list(read_index())
    copy = tmp_path / "models.md"
    copy.write_text(text)
    script = ROOT / "benchmarks" / "model_figures.py"
    subprocess.run([sys.executable, script, "--docs", copy], check=True)
    assert copy.read_text() == text


def test_the_figures_of_the_package_are_of_models_of_the_zoo() -> None:
    assert {row.model for row in figures.read_figures().rows} <= read_index().keys()
