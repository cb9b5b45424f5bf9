"""Bundles: the one in the package, and what is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_sam
from edge_sam.bundles.bundle import BUNDLED, open_bundle
from edge_sam.bundles.manifest import MANIFEST, SCHEMA, parse_manifest
from edge_sam.errors import InputError

Manifest = dict[str, Any]
FREE = {"padded": False, "multiple": 32}
MAP = {"name": "high_res_0", "stride": 4, "channels": 32}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the bundle in the package, free to be damaged."""
    return Path(shutil.copytree(BUNDLED / "mobile-sam", tmp_path / "bundle"))


def edit(bundle: Path, change: Callable[[Manifest], object]) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text())
    change(manifest)
    (bundle / MANIFEST).write_text(json.dumps(manifest))


def _swap(manifest: Manifest, first: str, second: str) -> None:
    """Exchange two components' roles; every hash still fits."""
    roles = {first: second, second: first}
    for component in manifest["components"]:
        component["role"] = roles.get(component["role"], component["role"])


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"padding": np.zeros((64, 64, 256)), "no_mask": np.zeros(3)},
        {"padding": np.full((64, 64, 256), np.nan), "no_mask": np.zeros(256)},
    ],
)
def test_refuses_wrong_constants(copy: Path, arrays: dict[str, np.ndarray]) -> None:
    file = copy / "constants.w16.npz"
    np.savez(file, **arrays)  # type: ignore[arg-type]
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    entry = {"sha256": digest, "bytes": file.stat().st_size}
    edit(copy, lambda m: [c.update(entry) for c in m["components"] if c["role"] == "constants"])
    with pytest.raises(InputError, match=r"constants\.w16\.npz"):
        edge_sam.load(copy)


def test_a_bare_name_is_the_package_s_bundle_and_a_path_is_a_path(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy.rename(copy.with_name("mobile-sam"))
    monkeypatch.chdir(copy.parent)
    assert open_bundle("mobile-sam").path == BUNDLED / "mobile-sam"
    assert open_bundle("./mobile-sam").path == Path("mobile-sam")
    assert open_bundle(Path("mobile-sam")).path == Path("mobile-sam")


@pytest.mark.parametrize("name", ["", "a" * 5000, "a\0b"])
def test_refuses_an_impossible_name(name: str) -> None:
    with pytest.raises(InputError, match="no model called"):
        open_bundle(name)


def test_the_bundle_in_the_package_is_complete_and_small() -> None:
    bundle = open_bundle("mobile-sam")
    manifest = bundle.manifest
    assert manifest.source.sha256 == "6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f"
    assert manifest.source.license == "Apache-2.0"
    assert manifest.made_by.command == "edge-sam export mobile_sam.pt --output mobile-sam --precision w16"
    assert manifest.measured[0].values["image_embedding"] <= 1e-4
    for component in manifest.components:
        assert bundle.verified_file(component).stat().st_size == component.bytes
    assert "Apache License" in (bundle.path / "LICENSE").read_text()
    assert manifest.source.sha256 in (bundle.path / "NOTICE").read_text()
    assert sum(file.stat().st_size for file in bundle.path.iterdir()) <= 25e6


def test_a_copy_loads_by_path(copy: Path) -> None:
    assert edge_sam.load(copy).bundle.path == copy


def test_a_family_is_a_name_and_needs_no_code_here(copy: Path) -> None:
    edit(copy, lambda m: m.update(family="another-sam"))
    assert edge_sam.load(copy).bundle.manifest.family == "another-sam"


@pytest.mark.parametrize("file", ["encoder.w16.onnx", "decoder.w16.onnx", "mask_encoder.w16.onnx", "constants.w16.npz"])
def test_refuses_an_edited_file(copy: Path, file: str) -> None:
    data = bytearray((copy / file).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / file).write_bytes(data)
    with pytest.raises(InputError, match=f"{file} does not match its hash"):
        edge_sam.load(copy)


def test_refuses_a_file_of_another_size_before_it_is_read(copy: Path) -> None:
    file = copy / "decoder.w16.onnx"
    size = file.stat().st_size
    file.unlink()
    file.symlink_to("/dev/zero")
    with pytest.raises(InputError, match=rf"decoder\.w16\.onnx has 0 bytes instead of the {size} in"):
        edge_sam.load(copy)


def test_refuses_a_manifest_without_end(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).symlink_to("/dev/zero")
    with pytest.raises(InputError, match="larger than 1 MiB"):
        open_bundle(tmp_path)


def test_refuses_a_missing_file(copy: Path) -> None:
    (copy / "decoder.w16.onnx").unlink()
    with pytest.raises(InputError, match=r"cannot read decoder\.w16\.onnx"):
        edge_sam.load(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(schema=SCHEMA + 1), f"newer edge_sam .*manifest version {SCHEMA + 1}"),
        (lambda m: m.update(schema=SCHEMA + 1, components="something else by then"), "newer edge_sam"),
        (lambda m: m.pop("source"), "missing required field `source`"),
        (lambda m: m.update(extra=1), "unknown field `extra`"),
        (lambda m: m["components"][0].update(file="../../etc/passwd"), "damaged"),
        (lambda m: m["components"][0].update(sha256="abc"), "damaged"),
        (lambda m: m["components"].clear(), "no encoder"),
        (lambda m: m["components"].append(m["components"][0]), "names a component twice"),
        (lambda m: m.update(schema=0), "damaged"),
        (lambda m: m.update(schema=1), "version 1 has no contract"),
        (lambda m: m.update(schema=3), "version 3 has no weighted tokens"),
        (lambda m: m["contract"].update(fit=FREE), "only tokens of padding can stand for others"),
        (lambda m: m["contract"].clear(), "is not the decoder"),
        (lambda m: m.update(schema=2, contract={"high_res": [MAP]}), "need a grid without padding"),
        (lambda m: m.update(schema=2, contract={"fit": FREE, "high_res": [MAP, MAP]}), "have the same name"),
        (lambda m: m.update(schema=2, contract={"fit": {"multiple": 24}}), "damaged: Invalid enum value 24"),
        (lambda m: m.update(frame=512), "damaged"),
        (lambda m: m.update(family="../SAM"), "damaged"),
        (lambda m: m.update(pixel_std=[0, 0, 0]), "damaged"),
        (lambda m: m["components"][0]["inputs"][0].update(name="picture"), "is not the encoder"),
        (lambda m: _swap(m, "encoder", "decoder"), "is not the encoder"),
        (lambda m: m.update(schema=2, contract={"fit": FREE}), "is not the decoder"),
    ],
)
def test_refuses_an_edited_manifest(copy: Path, change: Callable[[Manifest], object], message: str) -> None:
    edit(copy, change)
    with pytest.raises(InputError, match=message):
        edge_sam.load(copy)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b'{"schema": 1, "x": ' + b"[" * 100_000, b"\xff\xfe", b'{"schema": "one"}', b'{"\xff": 1}'],
)
def test_refuses_a_damaged_manifest(text: bytes) -> None:
    with pytest.raises(InputError, match="damaged"):
        parse_manifest(text, "x")


def test_refuses_a_folder_that_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a model bundle"):
        open_bundle(tmp_path)
