"""When a runtime fails, the next one takes over, once, with the cause named; `strict` raises instead."""

from __future__ import annotations

import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backends import Register, cannot_open, fails_after, register_backend

import edge_sam
from edge_sam import Predictor, Prompt, RuntimeUnavailableError
from edge_sam.bundles.bundle import open_bundle
from edge_sam.errors import InputError, RuntimeFallbackWarning
from edge_sam.inference.cache import Best, Tuned, tuning_key, write_record
from edge_sam.inference.model import LoadedModel
from edge_sam.runtimes import AUTO, why_unusable

CLICK = Prompt(points=[(250, 120)])


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Register:
    """Put backends into the registry that are the CPU under another name and fail in a given way."""
    return partial(register_backend, monkeypatch)


@pytest.mark.usefixtures("own_cache")
def test_with_three_broken_the_fourth_answers(broken: Register, predictor: Predictor, coffee: np.ndarray) -> None:
    first, second, third = AUTO
    broken("unloadable", open_session=cannot_open)
    broken(first, why_unusable=lambda _: "no such device")
    broken(second, open_session=fails_after(2))
    broken(third)
    write_record(tuning_key(open_bundle("mobile-sam")), Tuned(Best("unloadable", "w16", None)))

    with pytest.warns(RuntimeFallbackWarning, match=f"using {second}: unloadable in w16: the driver has gone"):
        loaded = edge_sam.load(threads=2)
    assert loaded.runtime == second
    with pytest.warns(RuntimeFallbackWarning, match="out of memory"):  # The guard used up the two runs.
        embedding = loaded.encode(coffee)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answers = [loaded.predict(embedding, CLICK) for _ in range(2)]
    assert loaded.runtime == third
    reference = predictor.predict(predictor.encode(coffee), CLICK)
    for answer in answers:
        np.testing.assert_allclose(answer.logits, reference.logits, atol=1e-3)
        assert answer.provider == "CPUExecutionProvider"


@pytest.mark.usefixtures("own_cache")
def test_failing_while_running_warns_once_with_the_cause(broken: Register, coffee: np.ndarray) -> None:
    broken("exhausted", open_session=fails_after(3))
    loaded = edge_sam.load(runtime="exhausted")
    embedding = loaded.encode(coffee)
    loaded.predict(embedding, CLICK)
    with pytest.warns(RuntimeFallbackWarning, match="exhausted failed while running: CUDA failure 2: out of memory"):
        loaded.predict(embedding, CLICK)
    assert loaded.runtime == "onnxruntime"


@pytest.mark.usefixtures("own_cache")
def test_strict_raises(broken: Register, coffee: np.ndarray) -> None:
    broken("unloadable", open_session=cannot_open)
    broken("exhausted", open_session=fails_after(2))
    with pytest.raises(RuntimeUnavailableError, match="the driver has gone"):
        edge_sam.load(runtime="unloadable", strict=True)
    loaded = edge_sam.load(runtime="exhausted", strict=True)
    with pytest.raises(RuntimeUnavailableError, match="out of memory"):
        loaded.encode(coffee)


def test_bad_input_is_not_a_failure_of_the_runtime(predictor: Predictor) -> None:
    before = predictor.model.active

    def refuse(_model: LoadedModel) -> None:
        raise InputError("not like this")

    with pytest.raises(InputError, match="not like this"):
        predictor.model.attempt(refuse)
    assert predictor.model.active is before


def raises_import_error(_device: str) -> str:
    raise ImportError("libgomp.so.1: cannot open shared object file")


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(
    ("members", "cause"),
    [
        ({"open_session": fails_after(0)}, "out of memory"),
        ({"hardware": raises_import_error}, "cannot open shared object file"),
    ],
)
def test_however_a_runtime_fails_while_loading(broken: Register, members: dict[str, Any], cause: str) -> None:
    broken("rough", **members)
    with pytest.warns(RuntimeFallbackWarning, match=cause):
        assert edge_sam.load(runtime="rough").runtime == "onnxruntime"


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_cache_that_cannot_be_written_is_no_failure(
    runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if why_unusable(runtime):
        pytest.skip(f"{runtime} is not usable here")
    (tmp_path / "file").write_text("where a folder should be")
    monkeypatch.setenv("EDGE_SAM_HOME", str(tmp_path / "file"))
    assert edge_sam.load(runtime=runtime, strict=True).runtime == runtime


def test_standard_output_survives_sessions_opened_side_by_side() -> None:
    output = sys.stdout
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: edge_sam.load(runtime="onnxruntime"), range(8)))
    assert sys.stdout is output


@pytest.mark.usefixtures("own_cache")
def test_auto_takes_the_first_that_is_usable(broken: Register) -> None:
    for name in AUTO:
        broken(name)
    for name in AUTO:
        assert edge_sam.load().runtime == name
        broken(name, why_unusable=lambda _: "not today")
    with pytest.raises(RuntimeUnavailableError, match="onnxruntime: not today"):
        edge_sam.load()


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="unknown runtime 'warp'; known: auto, onnxruntime"):
        edge_sam.load(runtime="warp")
    with pytest.raises(InputError, match="has no precision 'int4'; it has w16"):
        edge_sam.load(precision="int4")
