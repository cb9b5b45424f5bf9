"""Bundles and caches that are damaged, swapped or hostile: what was not checked does not run."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import edge_sam
from edge_sam.bundles.bundle import Bundle, open_bundle
from edge_sam.bundles.external_data import weights_beside
from edge_sam.errors import EdgeSamError, InputError, RuntimeUnavailableError
from edge_sam.files.cache_home import cache_home, make_private
from edge_sam.importing.model_import import import_model
from edge_sam.inference.cache import Best, Tuned, Verdict, read_record, read_verdict, runtime_key, write_record
from edge_sam.inference.choice import Choice
from edge_sam.inference.guard import probe_bounds
from edge_sam.inference.model import LoadedModel
from edge_sam.runtimes import SessionOptions, backend
from edge_sam.system.confined import Limits, run_confined

BUNDLED = open_bundle("mobile-sam")
ORT = Choice("onnxruntime", "w16", 1, "test")


def changed(folder: Path, files: dict[str, bytes], change: Callable[[Any], object] = id) -> Bundle:
    """Copy the packaged bundle with other content of some files, hashes in order."""
    shutil.copytree(BUNDLED.path, folder)
    document = json.loads((folder / "manifest.json").read_text())
    for name, content in files.items():
        (folder / name).write_bytes(content)
        for part in document["components"]:
            if part["file"] == name:
                part |= {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    change(document)
    (folder / "manifest.json").write_text(json.dumps(document))
    return open_bundle(folder)


def graph(*nodes: onnx.NodeProto, initializers: tuple[onnx.TensorProto, ...] = ()) -> bytes:
    """An encoder by its inputs and outputs."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "H", "W"])
    made = helper.make_tensor_value_info("image_embedding", TensorProto.FLOAT, None)
    model = helper.make_model(
        helper.make_graph(nodes, "hostile", [image], [made], initializers),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    return bytes(model.SerializeToString())


def memory_bomb() -> bytes:
    """A few hundred bytes that ask for 13 GB."""
    size = helper.make_tensor("size", TensorProto.INT64, [1], [3_400_000_000])
    return graph(
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
        helper.make_node("ReduceSum", ["image"], ["sum"], keepdims=0),
        helper.make_node("Add", ["zeros", "sum"], ["image_embedding"]),
        initializers=(size,),
    )


def endless() -> bytes:
    """A loop whose condition is always true."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["x", "x"], ["twice"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("twice", TensorProto.FLOAT, []),
        ],
    )
    true = helper.make_tensor("true", TensorProto.BOOL, [], [True])
    return graph(
        helper.make_node("ReduceSum", ["image"], ["sum"], keepdims=0),
        helper.make_node("Loop", ["", "true", "sum"], ["image_embedding"], body=body),
        initializers=(true,),
    )


@pytest.mark.usefixtures("own_cache")
class TestNewBundles:
    def test_one_that_takes_all_memory(self, tmp_path: Path) -> None:
        bundle = changed(tmp_path / "bomb", {"encoder.w16.onnx": memory_bomb()})
        assert (bundle.path / "encoder.w16.onnx").stat().st_size < 400
        with pytest.raises(RuntimeUnavailableError, match=r"(?i)alloc|memory"):
            edge_sam.load(bundle.path, runtime="onnxruntime", strict=True)

    def test_one_that_never_ends(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("edge_sam.system.confined.limits_for", lambda _: Limits(5, 4 << 30))
        bundle = changed(tmp_path / "endless", {"encoder.w16.onnx": endless()})
        with pytest.raises(RuntimeUnavailableError, match="no end within 5 s"):
            edge_sam.load(bundle.path, runtime="onnxruntime", strict=True)

    def test_a_pair_of_another_maker(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, content, seconds, told in (
            ("bomb", memory_bomb(), 100, r"(?i)alloc|memory"),
            ("endless", endless(), 6, "no end within 6 s"),
        ):
            limits = Limits(seconds, 2 << 30)
            monkeypatch.setattr("edge_sam.system.confined.limits_for", lambda _, limits=limits: limits)
            encoder = tmp_path / f"{name}.onnx"
            encoder.write_bytes(content)
            with pytest.raises(EdgeSamError, match=told):
                import_model(encoder, BUNDLED.path / "decoder.w16.onnx", tmp_path / name)
            assert not (tmp_path / name).exists()

    def test_a_good_one_is_tried_once_and_remembered(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        bundle = changed(tmp_path / "copy", {})
        edge_sam.load(bundle.path, runtime="onnxruntime", strict=True)
        verdict = read_record(runtime_key(bundle, "onnxruntime", "w16"), Verdict)
        assert verdict is not None
        assert verdict.rejected is None
        monkeypatch.setattr("edge_sam.system.confined.run_confined", None)
        edge_sam.load(bundle.path, runtime="onnxruntime", strict=True)


def crash(_request: bytes, _progress: object) -> bytes:
    os.abort()


def test_a_crash_stays_in_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    with pytest.raises(RuntimeUnavailableError, match="SIGABRT"):
        run_confined("test_trust_models:crash", b"", Limits(60, None))


class TestFiles:
    def test_weights_that_the_manifest_does_not_name(self, tmp_path: Path, own_cache: Path) -> None:
        model = onnx.load(BUNDLED.path / "encoder.w16.onnx")
        onnx.save(model, tmp_path / "encoder.onnx", save_as_external_data=True, location="elsewhere.bin")
        bundle = changed(tmp_path / "bundle", {"encoder.w16.onnx": (tmp_path / "encoder.onnx").read_bytes()})
        shutil.copy(tmp_path / "elsewhere.bin", bundle.path)
        with pytest.raises(InputError, match=r"keeps its weights in elsewhere\.bin, which manifest\.json does not"):
            edge_sam.load(bundle.path, runtime="onnxruntime")
        assert not (own_cache / "guard").exists()

    @pytest.mark.parametrize("location", ["w.bin", "./" * 70 + "w.bin"])
    @pytest.mark.parametrize("value_first", [False, True])
    def test_names_of_weights_are_found_however_they_are_written(
        self, tmp_path: Path, location: str, value_first: bool
    ) -> None:
        model = onnx.load(BUNDLED.path / "mask_encoder.w16.onnx")
        weight = model.graph.initializer[0]
        weight.data_location = onnx.TensorProto.EXTERNAL
        weight.external_data.add(key="location", value=location)
        (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
        if value_first:
            written = weight.external_data[0].SerializeToString()
            value = written[written.index(b"location") + 8 :]
            content = model.SerializeToString().replace(written, value + written[: len(written) - len(value)])
            (tmp_path / "a.onnx").write_bytes(content)
        assert weights_beside(tmp_path / "a.onnx", "onnx") == {location}

    @pytest.mark.parametrize("content", [b"", b"\x3a\xff\xff\x01", b"\x0f", b"\x80" * 12])
    def test_what_is_no_graph_is_damaged(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "a.onnx").write_bytes(content)
        with pytest.raises(ValueError, match=r"."):
            weights_beside(tmp_path / "a.onnx", "onnx")

    def test_weights_of_openvino_under_another_name(self, tmp_path: Path, own_cache: Path) -> None:
        openvino = pytest.importorskip("openvino")
        read = openvino.Core().read_model(BUNDLED.path / "encoder.w16.onnx")
        openvino.save_model(read, tmp_path / "encoder.w16.xml")
        weights = (tmp_path / "encoder.w16.bin").read_bytes()

        def renamed(document: dict[str, list[dict[str, object]]]) -> None:
            encoder = next(part for part in document["components"] if part["role"] == "encoder")
            encoder |= {"format": "openvino", "file": "encoder.w16.xml"}
            encoder["companion"] = {
                "file": "named.bin",
                "sha256": hashlib.sha256(weights).hexdigest(),
                "bytes": len(weights),
            }
            content = (tmp_path / "encoder.w16.xml").read_bytes()
            encoder |= {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}

        files = {"encoder.w16.xml": (tmp_path / "encoder.w16.xml").read_bytes(), "named.bin": weights}
        bundle = changed(tmp_path / "bundle", files | {"encoder.w16.bin": weights[::-1]}, renamed)
        with pytest.raises(InputError, match=r"keeps its weights in encoder\.w16\.bin, which manifest\.json does not"):
            edge_sam.load(bundle.path, runtime="openvino")
        assert not (own_cache / "guard").exists()

    @pytest.mark.usefixtures("own_cache")
    def test_one_that_is_swapped_while_it_is_loaded(self, tmp_path: Path) -> None:
        """Whatever the moment: a load either refuses the files or has the right ones."""
        bundle = changed(tmp_path / "bundle", {})
        LoadedModel(bundle, ORT)
        file = bundle.path / "mask_encoder.w16.onnx"
        good = file.read_bytes()
        model = onnx.load(file)
        for tensor in model.graph.initializer:
            tensor.raw_data = bytes(len(tensor.raw_data))
        stop = threading.Event()

        def swap() -> None:
            while not stop.is_set():
                for content in (model.SerializeToString(), good):
                    (tmp_path / "new").write_bytes(content)
                    (tmp_path / "new").replace(file)

        inputs = {"image_embedding": np.ones((1, 64, 64, 256), np.float32), "mask": np.ones((1, 256, 256), np.float32)}
        expected = LoadedModel(BUNDLED, ORT).mask_encoder.run(inputs)["image_tokens"]
        component = bundle.component("mask_encoder", "w16", "onnx")
        thread = threading.Thread(target=swap)
        thread.start()
        refused = 0
        try:
            for _ in range(20):
                try:
                    with bundle.unchanged(component) as path:
                        session = backend("onnxruntime").open_session(path, SessionOptions())
                except (InputError, RuntimeUnavailableError):
                    refused += 1
                else:
                    assert np.array_equal(session.run(inputs)["image_tokens"], expected)
        finally:
            stop.set()
            thread.join()
        assert refused


class TestCache:
    def test_a_damaged_compiled_model_is_made_again(self, coffee: np.ndarray, own_cache: Path) -> None:
        pytest.importorskip("openvino")
        prompt = edge_sam.Prompt(points=[(300, 120)])

        def mask() -> np.ndarray:
            predictor = edge_sam.load(runtime="openvino", strict=True)
            result = predictor.predict(predictor.encode(coffee, long_side=256), prompt, multimask=False)
            return np.asarray(result.masks[0])

        expected = mask()
        blobs = sorted(own_cache.rglob("*.blob"), key=lambda blob: blob.stat().st_size)
        damaged = blobs[-2]
        content = damaged.read_bytes()
        damaged.chmod(0o600)
        middle = len(content) // 2
        damaged.write_bytes(content[:middle] + content[middle : middle + 400_000][::-1] + content[middle + 400_000 :])
        planted = damaged.with_name("planted.blob")
        planted.write_bytes(content)
        assert np.array_equal(mask(), expected)
        assert not planted.exists()
        assert damaged.read_bytes() != content[:middle]
        verdict = read_record(runtime_key(BUNDLED, "openvino", "w16"), Verdict)
        assert verdict is not None
        folder = own_cache / "compiled" / runtime_key(BUNDLED, "openvino", "w16")
        on_disk = {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in folder.rglob("*.blob")
        }
        assert verdict.compiled == on_disk

    @pytest.mark.parametrize(
        "change",
        [
            {"runtime": "openvino"},
            {"precision": "fp32"},
            {"differences": {}},
            {"differences": {"image_embedding": 0.5, "low_res_logits": 0, "predicted_iou": 0}},
            {"differences": {"image_embedding": -1, "low_res_logits": 0, "predicted_iou": 0}},
            {"rejected": "x" * 5000},
        ],
    )
    def test_a_verdict_about_something_else(self, change: dict[str, object], own_cache: Path) -> None:
        key = runtime_key(BUNDLED, "onnxruntime", "w16")
        outputs = dict.fromkeys(BUNDLED.contract.probed, 1e-4)
        assert write_record(key, Verdict("onnxruntime", "w16", None, outputs))
        file = own_cache / "guard" / f"{key}.json"
        right = json.loads(file.read_bytes())
        asked = key, "onnxruntime", "w16", probe_bounds(BUNDLED.contract, "w16")
        assert read_verdict(*asked) is not None
        file.write_text(json.dumps(right | change))
        assert read_verdict(*asked) is None

    @pytest.mark.parametrize("how", ["writable", "link", "folder", "large"])
    def test_a_record_that_others_can_write(self, how: str, own_cache: Path) -> None:
        assert write_record("key", Tuned(Best("onnxruntime", "w16", None)))
        file = own_cache / "tuned" / "key.json"
        assert read_record("key", Tuned) is not None
        if how == "writable":
            file.chmod(0o666)
        else:
            content = file.read_bytes()
            file.unlink()
            if how == "folder":
                file.mkdir()
            elif how == "large":
                file.write_bytes(content + b" " * (1 << 20))
            else:
                file.symlink_to("/dev/zero")
        assert read_record("key", Tuned) is None

    @pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="needs root")
    def test_a_record_of_another_user(self, own_cache: Path) -> None:
        assert write_record("key", Tuned(Best("onnxruntime", "w16", None)))
        os.chown(own_cache / "tuned" / "key.json", 54321, 54321)
        assert read_record("key", Tuned) is None

    @pytest.mark.usefixtures("own_cache")
    def test_the_date_of_a_record_is_a_date(self) -> None:
        assert write_record("key", Tuned(Best("onnxruntime", "w16", None), "\x1b[2J"))
        assert read_record("key", Tuned) is None

    def test_it_is_for_this_user_alone(self, tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        LoadedModel(BUNDLED, ORT)
        for folder in (own_cache, *(path for path in own_cache.rglob("*") if path.is_dir())):
            assert folder.stat().st_mode & 0o777 == 0o700
        monkeypatch.setenv("EDGE_SAM_HOME", str(tmp_path / "shared"))
        (tmp_path / "shared").mkdir()
        (tmp_path / "shared").chmod(0o777)
        make_private(tmp_path / "shared" / "guard" / "deep")
        assert (tmp_path / "shared" / "guard").stat().st_mode & 0o777 == 0o755
        monkeypatch.delenv("EDGE_SAM_HOME")
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))
        older = cache_home()
        older.mkdir(parents=True)
        older.chmod(0o755)
        assert cache_home() == older
        assert older.stat().st_mode & 0o777 == 0o700
        chosen = tmp_path / "chosen"
        shutil.move(older, chosen)
        chosen.chmod(0o755)
        older.symlink_to(chosen)
        assert cache_home() == older
        assert chosen.stat().st_mode & 0o777 == 0o755
