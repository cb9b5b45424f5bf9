"""The image encoder in one runtime beside the decoder in another."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from backends import Failing, register_backend
from command_line import invoke
from conftest import iou
from test_text_layouts import MODELS

import edge_sam
from edge_sam import Prompt
from edge_sam.benchmark import tuning
from edge_sam.bundles.bundle import open_bundle
from edge_sam.embedding import ImageEmbedding
from edge_sam.errors import InputError, RuntimeFallbackWarning, RuntimeUnavailableError
from edge_sam.inference.cache import Best, Tuned, tuning_key, write_record
from edge_sam.inference.decoder_parts import TwoPartDecoder
from edge_sam.inference.run_options import RunOptions
from edge_sam.predictor import Predictor
from edge_sam.runtimes import (
    BACKENDS,
    PAIRS,
    SessionOptions,
    backend,
    is_known,
    onnxruntime_cpu,
    split_runtime,
    why_unusable,
)
from edge_sam.runtimes.onnxruntime_cpu import OnnxRuntimeSession
from edge_sam.runtimes.openvino_device import OpenVinoSession
from edge_sam.text.files import choose_files
from edge_sam.text.loading import open_matcher

needs_openvino = pytest.mark.skipif(why_unusable("openvino") is not None, reason="openvino is not usable here")


@needs_openvino
def test_each_component_runs_where_it_was_told(
    predictor: Predictor, embedding: ImageEmbedding, coffee: np.ndarray
) -> None:
    pair = edge_sam.load(runtime="openvino+onnxruntime", strict=True)
    active = pair.model.active
    assert isinstance(active.encoder, OpenVinoSession)
    assert isinstance(active.mask_encoder, OnnxRuntimeSession)
    assert isinstance(active.decoder, TwoPartDecoder)
    assert isinstance(active.decoder.attention, OnnxRuntimeSession)
    assert pair.facts.runtime == pair.runtime == "openvino+onnxruntime"
    assert pair.provider == f"{active.encoder.provider} + {active.decoder.provider}"
    prompt = Prompt(box=(76, 18, 478, 390))
    ours, alone = pair.predict(pair.encode(coffee), prompt), predictor.predict(embedding, prompt)
    assert iou(ours.masks[0], alone.masks[0]) > 0.999


def test_auto_follows_it_where_it_was_the_fastest_and_falls_back(
    monkeypatch: pytest.MonkeyPatch, own_cache: Path, coffee: np.ndarray
) -> None:
    broken: set[str] = set()

    def open_session(model: Path, options: SessionOptions) -> Failing:
        return Failing(onnxruntime_cpu.open_session(model, options), lambda: "openvino" in broken)

    register_backend(monkeypatch, "openvino", open_session=open_session)
    bundle = open_bundle("mobile-sam")
    write_record(tuning_key(bundle), Tuned(Best("openvino+onnxruntime", "w16", None)))
    pair = edge_sam.load()
    assert pair.runtime == "openvino+onnxruntime"
    assert pickle.loads(pickle.dumps(pair)).runtime == "openvino+onnxruntime"
    broken.add("openvino")
    with pytest.warns(RuntimeFallbackWarning, match="using onnxruntime: openvino\\+onnxruntime failed while running"):
        pair.encode(coffee)
    assert own_cache.is_dir()


def test_tune_measures_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(tuning, "measure", lambda _, choices, *__: seen.extend(choice.runtime for choice in choices))
    invoke("tune", "mobile-sam")
    assert ("openvino+onnxruntime" in seen) is (why_unusable("openvino") is None)


@pytest.mark.usefixtures("own_cache")
def test_a_matcher_runs_where_the_decoder_does() -> None:
    matcher = open_matcher(choose_files(MODELS / "owlv2"), RunOptions(runtime="openvino+onnxruntime", strict=True))
    assert matcher.facts.matcher_provider == "CPUExecutionProvider"


def test_pairs_are_of_two_backends() -> None:
    assert all(is_known(name) for name in (*BACKENDS, *PAIRS, "openvino:GPU+cuda:1"))
    assert not any(is_known(name) for name in ("openvino+warp", "openvino+", "+", "cuda+openvino+onnxruntime"))
    assert split_runtime("openvino:GPU+cuda:1") == ("openvino+cuda", "GPU+1")
    assert split_runtime("openvino+onnxruntime") == ("openvino+onnxruntime", "+")


def test_what_is_missing_is_named() -> None:
    assert why_unusable("onnxruntime+onnxruntime:warp") == f"onnxruntime: {why_unusable('onnxruntime:warp')}"
    assert why_unusable("onnxruntime+tensorrt") == "tensorrt builds engines; it runs a model alone"
    with pytest.raises(RuntimeUnavailableError, match="it runs a model alone"):
        edge_sam.load(runtime="tensorrt+onnxruntime", strict=True)
    with pytest.raises(InputError, match=r"unknown runtime 'openvino\+warp'"):
        edge_sam.load(runtime="openvino+warp")
    with pytest.raises(InputError, match=r"options belong to one runtime; name it instead of openvino\+onnxruntime"):
        edge_sam.load(runtime="openvino+onnxruntime", options={"NUM_STREAMS": "1"})


def test_a_pair_needs_what_both_need() -> None:
    with pytest.raises(KeyError):
        backend("cuda+openvino+onnxruntime")
    pair, both = backend("openvino+onnxruntime"), [backend("openvino"), backend("onnxruntime")]
    assert set(pair.PACKAGES) == {package for each in both for package in each.PACKAGES}
    assert pair.MODEL_FORMATS == ("onnx",)
    assert pair.runs_on_cpu("+")
    assert not backend("openvino+cuda").runs_on_cpu("+")
    assert both[1].hardware("") in pair.hardware("+")
