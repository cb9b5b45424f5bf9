"""`edge-sam tune` on the real model: what is measured, what is remembered, when `auto` follows it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from command_line import invoke
from conftest import PHOTOGRAPHS

import edge_sam
from edge_sam.benchmark import tunable_model, tuning
from edge_sam.benchmark.tunable_model import TunableModel
from edge_sam.benchmark.tuning import TuningRow
from edge_sam.bundles.bundle import open_bundle
from edge_sam.bundles.precisions import Precision
from edge_sam.inference.cache import Best, Tuned, tuning_key, write_record
from edge_sam.inference.choice import Choice
from edge_sam.predictor import Predictor
from edge_sam.runtimes import AUTO, why_unusable

pytestmark = pytest.mark.thorough


def test_tunes_and_auto_follows(own_cache: Path, tmp_path: Path) -> None:
    shutil.copy(PHOTOGRAPHS / "coffee.png", tmp_path)
    (tmp_path / "._coffee.png").write_bytes(b"as macOS leaves it")
    options = ["--image", str(tmp_path), "--threads", "1,2", "--rounds", "1", "--json"]
    done = invoke("tune", "mobile-sam", "--runtime", "onnxruntime", *options)
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["remembered"]
    assert {row["threads"] for row in report["rows"]} == {1, 2}
    for row in report["rows"]:
        assert row["provider"] == "CPUExecutionProvider"
        assert row["encode_ms"] > 0
        assert row["iou"] > 0.999
    totals = [row["total_ms"] for row in report["rows"]]
    assert totals == sorted(totals)
    assert edge_sam.load().model.active.choice.threads == report["rows"][0]["threads"]
    assert len(list((own_cache / "tuned").iterdir())) == 1


@pytest.mark.usefixtures("own_cache")
def test_openvino_is_timed_as_compiled_for_each_size(monkeypatch: pytest.MonkeyPatch, coffee: np.ndarray) -> None:
    if why_unusable("openvino"):
        pytest.skip("openvino is not installed")
    time_one, compiled = TunableModel.time, []

    def watched(model: TunableModel, predictor: Predictor, photograph: np.ndarray) -> Iterator[tuple[str, float]]:
        encoder = predictor.model.active.encoder
        yield from time_one(model, predictor, photograph)
        compiled.append((photograph.shape, encoder.compiled_for, encoder._compiling))  # type: ignore[attr-defined]

    monkeypatch.setattr(TunableModel, "time", watched)
    strip = coffee[150:250]
    photographs = [strip, np.ascontiguousarray(strip.transpose(1, 0, 2))]
    model = TunableModel(open_bundle("mobile-sam"), photographs)
    tuning.measure(model, [Choice("openvino", "w16", None, "test")], photographs, 2, lambda _: None)
    wide, tall = {"image": (1, 3, 176, 1024)}, {"image": (1, 3, 1024, 176)}
    assert compiled == 2 * [((100, 600, 3), wide, None)] + 2 * [((600, 100, 3), tall, None)]


@pytest.mark.usefixtures("own_cache")
def test_auto_follows_only_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    if why_unusable("openvino"):
        pytest.skip("openvino is not installed")
    bundle = open_bundle("mobile-sam")
    key, best = tuning_key(bundle), Best("openvino", "w16", None)
    write_record(key, Tuned(best))
    assert edge_sam.load().runtime == "openvino"
    assert edge_sam.load(runtime="onnxruntime").runtime == "onnxruntime"
    write_record(key, Tuned(Best("openvino", "int8", None)))
    assert edge_sam.load().runtime != "openvino"
    write_record(key, Tuned(best))
    monkeypatch.setattr("edge_sam.system.machine.metadata.version", lambda _: "99.0")
    assert edge_sam.load().runtime != "openvino"


@pytest.mark.parametrize("record", ["", "null", '{"best": null}', '{"best": {"runtime": 5}}', "[" * 100_000])
def test_a_damaged_record_is_no_record(own_cache: Path, record: str) -> None:
    file = own_cache / "tuned" / f"{tuning_key(open_bundle('mobile-sam'))}.json"
    file.parent.mkdir(parents=True)
    file.write_text(record)
    assert edge_sam.load().runtime in AUTO


@pytest.mark.usefixtures("own_cache")
def test_what_gives_other_masks_is_dropped(monkeypatch: pytest.MonkeyPatch, coffee: np.ndarray) -> None:
    model = TunableModel(open_bundle("mobile-sam"), [coffee])
    monkeypatch.setattr(tunable_model, "find_precision", lambda name: Precision(name, True, 1e-3, min_iou=1.01))
    rows = tuning.measure(model, [Choice("onnxruntime", "w16", 1, "test")], [coffee], 1, lambda _: None)
    assert rows[0].rejected is not None
    assert "mean IoU of only 1.000" in rows[0].rejected
    with pytest.raises(edge_sam.RuntimeUnavailableError, match="no candidate is usable here"):
        tuning.keep(model, rows)
    assert tuning.report(rows[0], "iou")["encode_ms"] is None


def test_rows_are_ranked_by_a_photograph_and_its_clicks() -> None:
    times = {"encode": [100.0, 110.0, 300.0], "click": [10.0, 12.0, 11.0]}
    row = TuningRow(Choice("onnxruntime", "w16", None, "test"), {"encode": 1, "click": 3}, times=times)
    assert row.total_ms == 110 + 3 * 11


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threads", "1,two"], "threads is 'two'; it must be 1 to 256"),
        (["--runtime", "warp"], "unknown runtime 'warp'"),
        (["--image", "/nowhere.png"], "nowhere.png"),
    ],
)
def test_bad_input_is_refused(arguments: list[str], message: str) -> None:
    done = invoke("tune", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
