"""Execution providers of ONNX Runtime by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import iou

import edge_sam
from edge_sam import Predictor, Prompt
from edge_sam.bundles.bundle import BUNDLED
from edge_sam.errors import RuntimeUnavailableError
from edge_sam.runtimes import SessionOptions, onnxruntime_cpu, runs_on_cpu, why_unusable
from edge_sam.runtimes.onnxruntime_providers import find_provider
from edge_sam.runtimes.onnxruntime_session import load_package

MODEL = BUNDLED / "mobile-sam" / "mask_encoder.w16.onnx"
AZURE = "AzureExecutionProvider"
"""Comes with the CPU's package on some systems, and runs nothing."""
azure = pytest.mark.skipif(AZURE not in load_package().get_available_providers(), reason="no such provider here")


def test_a_provider_that_is_not_installed_is_named() -> None:
    reason = why_unusable("onnxruntime:CoreML")
    if reason is None:
        pytest.skip("CoreML is installed")
    assert reason.startswith("the installed onnxruntime has no provider 'CoreML'; it has ")
    with pytest.raises(RuntimeUnavailableError, match="no provider 'CoreML'"):
        edge_sam.load(runtime="onnxruntime:CoreML", strict=True)
    with pytest.warns(edge_sam.errors.RuntimeFallbackWarning, match="no provider 'CoreML'"):
        assert edge_sam.load(runtime="onnxruntime:CoreML").provider == "CPUExecutionProvider"


def test_the_cpu_is_no_device() -> None:
    assert find_provider("CPU") is None
    assert find_provider("") is None


@azure
def test_names_are_found_in_any_case() -> None:
    assert find_provider("azure") == find_provider("Azure") == AZURE


@azure
def test_a_provider_that_runs_nothing_is_refused() -> None:
    with pytest.raises(RuntimeUnavailableError, match=rf"{AZURE} runs nothing of {MODEL.name}"):
        onnxruntime_cpu.open_session(Path(MODEL), SessionOptions(device="Azure"))


def test_a_provider_on_the_cpu_shares_its_cores() -> None:
    assert runs_on_cpu("onnxruntime")
    assert runs_on_cpu("onnxruntime:XNNPACK")
    assert not runs_on_cpu("onnxruntime:CoreML")


@pytest.mark.skipif(find_provider("OpenVINO") is None, reason="needs the package onnxruntime-openvino")
def test_a_provider_that_runs_gives_the_same_masks(predictor: Predictor, coffee: np.ndarray) -> None:
    other = edge_sam.load(runtime="onnxruntime:OpenVINO", strict=True)
    assert other.provider.startswith("OpenVINOExecutionProvider")
    prompt = Prompt(box=(76, 18, 478, 390))
    ours, theirs = (each.predict(each.encode(coffee), prompt, multimask=False).masks[0] for each in (predictor, other))
    assert iou(ours, theirs) >= 0.99
