"""Rough conditions: two loads at once on one cache, and a system that cannot be written."""

from __future__ import annotations

import shutil
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

import edge_sam
from edge_sam.bundles.bundle import Bundle, open_bundle
from edge_sam.inference import compiled
from edge_sam.inference.cache import Verdict, runtime_key
from edge_sam.inference.choice import Choice
from edge_sam.inference.model import LoadedModel
from edge_sam.runtimes import why_unusable

PACKAGED = open_bundle("mobile-sam")


@pytest.mark.usefixtures("own_cache")
def test_of_two_that_load_at_once_one_compiles_and_judges(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    check, judging, go_on = LoadedModel._check, threading.Event(), threading.Event()
    judges: list[LoadedModel] = []

    def judge(self: LoadedModel, bundle: Bundle) -> Verdict:
        judges.append(self)
        judging.set()
        assert go_on.wait(60)
        return check(self, bundle)

    monkeypatch.setattr(LoadedModel, "_check", judge)
    monkeypatch.setattr(compiled, "_SILENT", 0.01)
    choice = Choice("onnxruntime", "w16", 1, "test")
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(LoadedModel, PACKAGED, choice)
        assert judging.wait(60)
        second = pool.submit(LoadedModel, PACKAGED, choice)
        assert not wait([second], timeout=0.5).done
        go_on.set()
        assert judges == [first.result(60)]
        second.result(60)
    assert len(judges) == 1
    assert "waiting for another load, which compiles this model" in caplog.text


@pytest.mark.thorough
@pytest.mark.skipif(why_unusable("openvino") is not None, reason="openvino is not usable here")
def test_what_is_compiled_for_another_path_is_judged_and_kept(own_cache: Path, tmp_path: Path) -> None:
    """OpenVINO compiles again for a model at another path. Both loads then find what they need."""
    shutil.copytree(PACKAGED.path, tmp_path / "copy")
    copy, choice = open_bundle(tmp_path / "copy"), Choice("openvino", "w16", 1, "test")
    first, other = LoadedModel(PACKAGED, choice), LoadedModel(copy, choice)
    assert first.timings["guard"] > 0
    assert other.timings["guard"] > 0
    files = {file: file.stat().st_mtime_ns for file in (own_cache / "compiled").rglob("*") if file.is_file()}
    for bundle in (PACKAGED, copy):
        assert LoadedModel(bundle, choice).timings["guard"] == 0
    assert files == {file: file.stat().st_mtime_ns for file in (own_cache / "compiled").rglob("*") if file.is_file()}


def test_a_load_that_hangs_stops_no_other(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_SILENT", 0.01)
    monkeypatch.setattr(compiled, "_PATIENCE", 0.02)
    choice = Choice("onnxruntime", "w16", 1, "test")
    (own_cache / "compiled").mkdir(parents=True)
    with FileLock(own_cache / "compiled" / f"{runtime_key(PACKAGED, 'onnxruntime', 'w16')}.lock", thread_local=False):
        assert LoadedModel(PACKAGED, choice).timings["guard"] > 0


def test_a_new_bundle_where_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, coffee: np.ndarray
) -> None:
    """No folder lies below a file, even for root. The child that tries the bundle has no file for what it prints."""
    shutil.copytree(PACKAGED.path, tmp_path / "bundle")
    (tmp_path / "file").touch()
    monkeypatch.setenv("EDGE_SAM_HOME", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    predictor = edge_sam.load(tmp_path / "bundle", runtime="onnxruntime", strict=True)
    embedding = predictor.encode(coffee, long_side=256)
    assert predictor.predict(embedding, edge_sam.Prompt(points=[(300, 120)])).masks.any()
