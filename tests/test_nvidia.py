"""CUDA and TensorRT: on a device where there is one, and against the interface of ONNX Runtime everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from conftest import iou

import edge_sam
from edge_sam import Predictor, Prompt, RuntimeUnavailableError
from edge_sam.bundles.bundle import open_bundle
from edge_sam.bundles.contract import SAM
from edge_sam.inference.choice import Choice
from edge_sam.inference.model import LoadedModel
from edge_sam.inference.shape_ranges import profiles
from edge_sam.runtimes import SessionOptions, onnxruntime_cuda, onnxruntime_session, onnxruntime_tensorrt, why_unusable
from edge_sam.runtimes.cuda_driver import cuda_devices, missing_cuda_device
from edge_sam.runtimes.onnxruntime_tensorrt import tensorrt_options

gpu = pytest.mark.gpu
BUNDLE = open_bundle("mobile-sam")
MODEL = BUNDLE.path / BUNDLE.component("mask_encoder", "w16", "onnx").file


class Device:
    """ONNX Runtime's CPU behind the names of a CUDA build: binding, device values and provider as there.

    Values "on the device" are the CPU's, so results are real; what is asked of the interface is recorded.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, running: str) -> None:
        self.providers: list[tuple[str, dict[str, str]]] = []
        self.uploads = 0
        real_value = onnxruntime.OrtValue
        device = self

        class Session(onnxruntime.InferenceSession):  # type: ignore[misc]
            def __init__(self, path: str, settings: Any, providers: Any) -> None:
                device.providers = list(providers)
                super().__init__(path, settings, providers=["CPUExecutionProvider"])

            def get_providers(self) -> list[str]:
                return [running, "CPUExecutionProvider"]

            def io_binding(self) -> Any:
                binding = super().io_binding()
                bind = binding.bind_output
                binding.bind_output = lambda name, place, number: (
                    bind(name, "cpu") if (place, number) == ("cuda", 0) else pytest.fail(f"{place}:{number}")
                )
                return binding

        class Value:
            @staticmethod
            def ortvalue_from_numpy(array: np.ndarray, place: str, number: int) -> Any:
                assert (place, number) == ("cuda", 0)
                device.uploads += 1
                return real_value.ortvalue_from_numpy(array)

        monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
        monkeypatch.setattr(onnxruntime, "OrtValue", Value)
        for module in (onnxruntime_cuda, onnxruntime_tensorrt):
            monkeypatch.setattr(module, "missing_cuda_device", lambda _: None)
            monkeypatch.setattr(module, "missing_provider", lambda *_: None)


@pytest.mark.thorough
@pytest.mark.usefixtures("own_cache")
def test_image_tokens_cross_the_bus_once(
    monkeypatch: pytest.MonkeyPatch, predictor: Predictor, coffee: np.ndarray
) -> None:
    device = Device(monkeypatch, "CUDAExecutionProvider")
    loaded = edge_sam.load(runtime="cuda", strict=True)
    assert (loaded.runtime, loaded.provider) == ("cuda", "CUDAExecutionProvider")
    assert [name for name, _ in device.providers] == ["CUDAExecutionProvider", "CPUExecutionProvider"]
    embedding = loaded.encode(coffee)
    answers = [loaded.predict(embedding, Prompt(points=[(250, 120)])) for _ in range(3)]
    assert device.uploads == 1
    reference = predictor.predict(predictor.encode(coffee), Prompt(points=[(250, 120)]))
    for answer in answers:
        np.testing.assert_allclose(answer.logits, reference.logits, atol=1e-3)
    loaded.predict(embedding, Prompt(mask=answers[0].logits[0]))
    again = edge_sam.load(runtime="cuda", strict=True)
    again.predict(embedding, Prompt(points=[(250, 120)]))
    assert device.uploads == 2  # Another session has the tokens elsewhere.


def test_a_provider_that_was_silently_replaced_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    Device(monkeypatch, "CPUExecutionProvider")
    with pytest.raises(RuntimeUnavailableError, match="replaced CUDAExecutionProvider with CPUExecutionProvider"):
        onnxruntime_cuda.open_session(MODEL, SessionOptions())


def test_tensorrt_builds_nothing_unasked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    device = Device(monkeypatch, "TensorrtExecutionProvider")
    options = SessionOptions(cache=tmp_path / "engines", shapes=profiles(SAM)["mask_encoder"])
    with pytest.raises(RuntimeUnavailableError, match="build them with: edge-sam build"):
        onnxruntime_tensorrt.open_session(MODEL, options)
    onnxruntime_tensorrt.open_session(MODEL, SessionOptions(cache=tmp_path / "engines", build=True))
    assert [name for name, _ in device.providers] == [
        "TensorrtExecutionProvider",
        "CUDAExecutionProvider",
        "CPUExecutionProvider",
    ]


def test_profiles_cover_every_free_input_and_are_written_as_onnx_runtime_reads_them() -> None:
    for role, profile in profiles(SAM).items():
        component = BUNDLE.component(role, "w16", "onnx")
        inputs = {tensor.name: tensor.shape for tensor in component.inputs}
        free = {name for name, shape in inputs.items() if any(isinstance(size, str) for size in shape)}
        assert free <= profile.keys() <= inputs.keys()
        for name, choices in profile.items():
            for shape in choices if name in free else ():
                assert len(shape) == len(inputs[name])
                fixed = [(a, b) for a, b in zip(shape, inputs[name], strict=True) if not isinstance(b, str)]
                assert all(a == b for a, b in fixed)
            assert all(a <= b <= c for a, b, c in zip(*choices, strict=True))
    settings = tensorrt_options(
        SessionOptions(cache=Path("c"), shapes=profiles(SAM)["decoder"], extra={"device_id": "1"})
    )
    assert settings["device_id"] == "1"
    assert settings["trt_profile_max_shapes"].startswith(
        "image_tokens:8x4096x256,token_index:4096,token_count:4096,point_coords:8x64x2,"
    )
    assert settings["trt_fp16_enable"] == "0"


@pytest.mark.parametrize(
    ("precision", "allowed"), [("w16", ""), ("fp16", "trt_fp16_enable"), ("int8", "trt_int8_enable")]
)
def test_tensorrt_may_use_the_types_of_the_file_and_no_others(precision: str, allowed: str) -> None:
    settings = tensorrt_options(SessionOptions(precision=precision))
    for option in ("trt_fp16_enable", "trt_int8_enable"):
        assert settings[option] == str(int(option == allowed))


@pytest.mark.parametrize("name", ["OrtValue", "InferenceSession", "IOBinding"])
def test_the_interface_that_is_used_exists(name: str) -> None:
    used = {
        "OrtValue": ["ortvalue_from_numpy"],
        "InferenceSession": ["io_binding", "run_with_iobinding", "disable_fallback", "get_providers"],
        "IOBinding": ["bind_cpu_input", "bind_ortvalue_input", "bind_output", "copy_outputs_to_cpu"],
    }
    members = dir(getattr(onnxruntime, name))
    assert set(used[name]) <= set(members)
    known = {onnxruntime_cuda.PROVIDER, onnxruntime_tensorrt.PROVIDER, onnxruntime_session.CPU}
    assert known <= set(onnxruntime.get_all_providers())


def test_without_a_device_the_reason_is_one_line() -> None:
    if not isinstance(cuda_devices(), str):
        pytest.skip("there is a device")
    for runtime in ("cuda", "tensorrt", "cuda:1"):
        reason = why_unusable(runtime)
        assert reason is not None
        assert "\n" not in reason
    assert missing_cuda_device("x") == "a CUDA device is a number, not 'x'"


@gpu
@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("runtime", ["cuda", "tensorrt"])
def test_on_a_real_device_masks_agree(runtime: str, predictor: Predictor, coffee: np.ndarray) -> None:
    reason = why_unusable(runtime)
    if reason:
        pytest.skip(reason)
    LoadedModel(BUNDLE, Choice(runtime, "w16", None, "test"), build=True)
    loaded = edge_sam.load(runtime=runtime, strict=True)
    prompts = [Prompt(box=(76, 18, 478, 390)), Prompt(points=[(250, 120)])]
    ours = loaded.predict(loaded.encode(coffee), prompts, multimask=False)
    reference = predictor.predict(predictor.encode(coffee), prompts, multimask=False)
    for a, b in zip(ours, reference, strict=True):
        assert iou(a.masks[0], b.masks[0]) >= 0.99
