"""Photographs in memory and in the folder, the log, the key, and what other pages may read."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from served import COFFEE_BASE64, CUP, client_of, upload

from edge_sam.errors import InputError
from edge_sam.everything.generator import MaskGenerator
from edge_sam.predictor import Predictor
from edge_sam.serve.images import ImageStore
from edge_sam.serve.logs import log_request

KILLED = """
import os, pathlib, signal, sys
from edge_sam.embedding import ImageEmbedding
from edge_sam.serve.images import ImageStore
source, target, id = sys.argv[1:]
image = ImageStore(pathlib.Path(source), 10**9).load(id)
ImageEmbedding.to_bytes = lambda self: os.kill(os.getpid(), signal.SIGKILL)
ImageStore(pathlib.Path(target), 10**9).save(image)
"""


def test_a_kill_between_two_files_leaves_no_image(predictor: Predictor, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    with client_of(predictor, whole) as client:
        id = upload(client)
    killed = subprocess.run([sys.executable, "-c", KILLED, whole, cut, id], check=False)
    assert killed.returncode < 0
    assert [path.name for path in cut.iterdir()] == [f"{id}.photograph"]
    with client_of(predictor, cut) as client:
        assert client.get(f"/images/{id}/embedding").status_code == 404
        assert upload(client) == id
    assert ImageStore(cut, 10**9).load(id)


def test_files_are_the_users_alone_whatever_the_folder(predictor: Predictor, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with client_of(predictor, tmp_path) as client:
        upload(client)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_what_is_used_in_memory_stays_in_the_folder(predictor: Predictor, tmp_path: Path) -> None:
    with client_of(predictor, tmp_path, store_mb=10) as client:
        first, second = (upload(client, long_side=side) for side in (128, 144))
        for file in tmp_path.iterdir():
            os.utime(file, (0, 0))
        assert client.post(f"/images/{first}/masks", json={"prompts": [{"box": CUP}]}).status_code == 200
        upload(client, long_side=160)
    left = {path.stem for path in tmp_path.glob("*.npz")}
    assert first in left
    assert second not in left


def test_half_written_files_count(predictor: Predictor, tmp_path: Path) -> None:
    with client_of(predictor, tmp_path, store_mb=10) as client:
        first = upload(client, long_side=128)
        (tmp_path / f".{first}.1.part").write_bytes(bytes(9_000_000))
        second = upload(client, long_side=144)
    assert {path.stem for path in tmp_path.glob("*.npz")} <= {second}


def test_a_path_cannot_forge_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "edge_sam.serve"):
        log_request("GET", "/a\r\n\x1b[31mforged ä", 404, 1.0, "-", "1")
    (record,) = caplog.records
    assert record.getMessage().isprintable()
    assert record.__dict__["path"] == r"/a\r\n\x1b[31mforged \xe4"


def test_a_page_of_an_allowed_site_can_read_why_it_was_refused(predictor: Predictor, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("voilà", encoding="utf-8")
    origin = {"Origin": "https://tool.example"}
    with client_of(predictor, api_key_file=file, allow_origin=["https://tool.example"]) as client:
        refused = client.get("/models", headers=origin)
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "unauthorized")
        assert refused.headers["access-control-allow-origin"] == "https://tool.example"
        assert "Retry-After" in refused.headers["access-control-expose-headers"]
        key = {b"Authorization": "Bearer voilà ".encode()}
        assert client.get("/models", headers=key).status_code == 200


def test_everything_mode_sees_the_photograph_as_the_server_was_told(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    views: list[tuple[int, bool]] = []

    class Noted(MaskGenerator):
        def __post_init__(self) -> None:
            super().__post_init__()
            views.append((self.long_side, self.square))

    monkeypatch.setattr("edge_sam.serve.segmenter.MaskGenerator", Noted)
    with client_of(predictor) as client:
        id = upload(client)
        for body in ({"points_per_side": 1}, {"points_per_side": 1, "long_side": 256, "square": False}):
            assert client.post(f"/images/{id}/everything", json=body).status_code == 200
    assert views == [(512, True), (256, False)]


def test_an_embedded_image_is_found_by_the_id_in_the_answer(predictor: Predictor) -> None:
    image = {"type": "base64", "value": COFFEE_BASE64}
    with client_of(predictor) as client:
        embedded = client.post("/sam2/embed_image", json={"image": image, "image_id": "mine"}).json()
        prompts = [{"points": [{"x": 300, "y": 120}]}]
        body = {"image_id": embedded["image_id"], "prompts": prompts}
        assert client.post("/sam2/segment_image", json=body).status_code == 200


def test_a_folder_for_onnxruntime_web_that_is_not_there_is_refused(predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="browser-runtime"), client_of(predictor, browser_runtime=tmp_path / "none"):
        pass
