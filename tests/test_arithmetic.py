"""A precision that is a runtime's arithmetic, on files of another precision."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from backends import register_backend
from conftest import iou

import edge_sam
from edge_sam import Prompt
from edge_sam.benchmark.tunable_model import TunableModel
from edge_sam.benchmark.tuning import candidates
from edge_sam.bundles.bundle import open_bundle
from edge_sam.embedding import ImageEmbedding
from edge_sam.errors import InputError, RuntimeUnavailableError
from edge_sam.inference.cache import runtime_key
from edge_sam.predictor import Predictor
from edge_sam.runtimes import SessionOptions, arithmetics, onnxruntime_cpu, why_unusable
from edge_sam.serve.triton import write_repository


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """A runtime `short` that computes in bf16; the list receives each file that it opens, and the precision."""
    seen: list[tuple[str, str]] = []

    def open_session(model: Path, options: SessionOptions) -> Any:
        seen.append((model.name, options.precision))
        return onnxruntime_cpu.open_session(model, options)

    register_backend(monkeypatch, "short", open_session=open_session, arithmetics=lambda _: ("bf16",))
    return seen


@pytest.mark.usefixtures("own_cache")
def test_the_files_are_those_of_another_precision(
    opened: list[tuple[str, str]], predictor: Predictor, embedding: ImageEmbedding, coffee: np.ndarray
) -> None:
    short = edge_sam.load(runtime="short", precision="bf16", strict=True)
    files = {part.file for part in short.bundle.manifest.components if part.precision == "w16"}
    assert {name for name, _ in opened} <= files
    assert {precision for _, precision in opened} == {"bf16"}
    assert short.precision == short.facts.precision == "bf16"
    ours = short.encode(coffee)
    prompt = Prompt(box=(76, 18, 478, 390))
    assert iou(short.predict(ours, prompt).masks[0], predictor.predict(embedding, prompt).masks[0]) > 0.999
    with pytest.raises(InputError, match="another precision"):
        predictor.predict(ours, prompt)


@pytest.mark.usefixtures("opened")
def test_it_has_a_verdict_of_its_own() -> None:
    bundle = open_bundle("mobile-sam")
    assert runtime_key(bundle, "short", "bf16") != runtime_key(bundle, "short", "w16")


@pytest.mark.usefixtures("opened")
def test_tune_tries_it_where_it_is() -> None:
    model = TunableModel(open_bundle("mobile-sam"), [])
    found = [(choice.runtime, choice.precision) for choice in candidates(model, ["onnxruntime", "short"], [None])]
    assert found == [("onnxruntime", "w16"), ("short", "w16"), ("short", "bf16")]


@pytest.mark.usefixtures("opened", "own_cache")
def test_auto_never_takes_it_unasked() -> None:
    assert edge_sam.load(runtime="short").precision == "w16"


def test_elsewhere_it_is_refused() -> None:
    with pytest.raises(RuntimeUnavailableError, match="onnxruntime in bf16: it does not compute in bf16"):
        edge_sam.load(runtime="onnxruntime", precision="bf16", strict=True)
    with pytest.raises(InputError, match="bf16 is a runtime's arithmetic, not files; give --precision w16"):
        write_repository(open_bundle("mobile-sam"), Path("nowhere"), precision="bf16")


@pytest.mark.usefixtures("own_cache")
def test_auto_finds_the_runtime_that_computes_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    register_backend(monkeypatch, "openvino", arithmetics=lambda _: ("bf16",))
    found = edge_sam.load(precision="bf16", strict=True)
    assert (found.runtime, found.precision) == ("openvino", "bf16")


def test_a_broken_installation_computes_in_none(monkeypatch: pytest.MonkeyPatch) -> None:
    register_backend(monkeypatch, "short", arithmetics=lambda _: 1 / 0)
    assert arithmetics("short") == ()


@pytest.mark.usefixtures("own_cache")
def test_in_a_pair_it_is_the_encoder_s(opened: list[tuple[str, str]]) -> None:
    edge_sam.load(runtime="short+onnxruntime", precision="bf16", strict=True)
    assert [precision for _, precision in opened] == ["bf16"]
    with pytest.raises(RuntimeUnavailableError, match="does not compute in bf16"):
        edge_sam.load(runtime="onnxruntime+short", precision="bf16", strict=True)


@pytest.mark.parametrize(("capabilities", "expected"), [(["FP32", "BF16"], ("bf16",)), (["FP32", "INT8"], ())])
def test_openvino_tells_what_its_processor_computes_in(
    monkeypatch: pytest.MonkeyPatch, capabilities: list[str], expected: tuple[str, ...]
) -> None:
    core = SimpleNamespace(get_property=lambda *_: capabilities)
    monkeypatch.setattr("edge_sam.runtimes.openvino_device._core", lambda: core)
    assert arithmetics("openvino") == expected


@pytest.mark.usefixtures("own_cache")
def test_openvino_computes_in_bf16_where_the_processor_does(
    predictor: Predictor, embedding: ImageEmbedding, coffee: np.ndarray
) -> None:
    if why_unusable("openvino") is not None:
        pytest.skip("openvino is not usable here")
    if "bf16" not in arithmetics("openvino"):
        with pytest.raises(RuntimeUnavailableError, match="it does not compute in bf16 on this machine"):
            edge_sam.load(runtime="openvino", precision="bf16", strict=True)
        return
    short = edge_sam.load(runtime="openvino", precision="bf16", strict=True)
    prompt = Prompt(box=(76, 18, 478, 390))
    ours = short.predict(short.encode(coffee), prompt)
    assert 0.97 < iou(ours.masks[0], predictor.predict(embedding, prompt).masks[0]) < 1
