"""`edge-sam convert --format triton`."""

from __future__ import annotations

import importlib
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import onnxruntime
import pytest
from command_line import invoke


@pytest.fixture(scope="module")
def protocol() -> ModuleType:
    """Triton's own schema of its configuration, without the client around it."""
    text_format = importlib.import_module("google.protobuf.text_format")
    package = importlib.util.find_spec("tritonclient")
    assert package is not None
    assert package.submodule_search_locations is not None
    file = Path(package.submodule_search_locations[0], "grpc", "model_config_pb2.py")
    found = importlib.util.spec_from_file_location("model_config_pb2", file)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    module.parse = text_format.Parse  # type: ignore[attr-defined]
    return module


def test_the_repository_fits_tritons_schema_and_its_own_graphs(protocol: Any, tmp_path: Path) -> None:
    done = invoke("convert", "mobile-sam", "--output", str(tmp_path), "--format", "triton", "--json")
    assert done.exit_code == 0, done.stderr
    files = json.loads(done.stdout)["files"]
    assert {"LICENSE", "NOTICE", "constants.npz", "inference-service.yaml"} < set(files)
    types = {"tensor(float)": protocol.TYPE_FP32, "tensor(int64)": protocol.TYPE_INT64}
    for role in ("encoder", "mask-encoder", "decoder"):
        folder = tmp_path / f"mobile-sam-{role}"
        config = protocol.parse((folder / "config.pbtxt").read_text(), protocol.ModelConfig())
        assert (config.name, config.backend, config.max_batch_size) == (folder.name, "onnxruntime", 0)
        session = onnxruntime.InferenceSession(folder / "1" / "model.onnx")
        for ours, theirs in ((config.input, session.get_inputs()), (config.output, session.get_outputs())):
            for tensor, known in zip(ours, theirs, strict=True):
                assert (tensor.name, tensor.data_type) == (known.name, types[known.type])
                dims = [size if isinstance(size, int) else -1 for size in known.shape]
                assert list(tensor.dims) == dims


def test_it_overwrites_only_when_told(tmp_path: Path) -> None:
    (tmp_path / "constants.npz").touch()
    command = ("convert", "mobile-sam", "--output", str(tmp_path), "--format", "triton")
    refused = invoke(*command)
    assert refused.exit_code == 2
    assert "--overwrite" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["constants.npz"]
    assert invoke(*command, "--overwrite").exit_code == 0
    assert invoke(*command, "--layout", "sam").exit_code == 2
    assert invoke(*command, "--values", "0-1").exit_code == 2
    assert invoke(*command, "--precision", "int8").exit_code == 2
