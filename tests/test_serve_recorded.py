"""Requests that the real clients of labelling tools sent: see `served_requests`. The answers must hold our masks."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import iou
from numpy.typing import NDArray
from PIL import Image
from served import client_of
from served_requests.photograph import CUP, FOLDER, OFF_CUP, ON_CUP, PHOTOGRAPH
from test_serve_adapters import decode_brush

import edge_sam
from edge_sam.imaging.masks import decode_rle
from edge_sam.predictor import Predictor
from edge_sam.preference import Preference


def recorded(name: str) -> list[dict[str, Any]]:
    """Return the requests of a client."""
    requests: list[dict[str, Any]] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))["requests"]
    return requests


def replay(predictor: Predictor, requests: list[dict[str, Any]], **settings: Any) -> list[Any]:
    """Send requests again; return what the answers hold."""
    answers: list[Any] = []
    with client_of(predictor, **settings) as client:
        for each in requests:
            content = None if each["body"] is None else json.dumps(each["body"])
            answer = client.request(each["method"], each["path"], headers=each["headers"], content=content)
            assert answer.status_code == each["status"], (each["path"], answer.text)
            answers.append(answer.json())
    return answers


def masks_of(
    predictor: Predictor, photograph: bytes, *prompts: edge_sam.Prompt, prefer: Preference = "auto"
) -> list[NDArray[np.bool_]]:
    """Return the masks of the Python API."""
    pixels = np.asarray(Image.open(io.BytesIO(photograph)).convert("RGB"))
    embedding = predictor.encode(pixels, long_side=512)
    results = predictor.predict(embedding, prompts, multimask=False, prefer=prefer)
    return [result.masks[0] for result in results]


def photograph_in(text: str) -> bytes:
    """Decode the photograph of a body."""
    return base64.b64decode(text.partition(",")[2] or text)


BOX, POINT = edge_sam.Prompt(box=CUP), edge_sam.Prompt(points=[ON_CUP])
BOTH = edge_sam.Prompt(points=[ON_CUP], labels=[1], box=CUP)


def test_roboflow(predictor: Predictor) -> None:
    asked = recorded("roboflow")
    photograph = photograph_in(asked[0]["body"]["image"]["value"])
    runs, polygons = replay(predictor, asked)
    ours = masks_of(predictor, photograph, BOX, POINT, prefer="single")
    for mask, found in zip(ours, runs["predictions"], strict=True):
        assert iou(decode_rle(found["masks"]), mask) == 1
    ours = masks_of(predictor, photograph, BOX, POINT, prefer="best")
    for mask, found in zip(ours, polygons["predictions"], strict=True):
        assert iou(filled(found["masks"]), mask) > 0.9


def test_x_anylabeling(predictor: Predictor) -> None:
    asked = recorded("x_anylabeling")
    models, *answers = replay(predictor, asked)
    assert models["success"]
    ours = masks_of(predictor, photograph_in(asked[1]["body"]["image"]), BOTH, POINT)
    for mask, answer in zip(ours, answers, strict=True):
        assert iou(filled([shape["points"] for shape in answer["data"]["shapes"]]), mask) > 0.9


def test_osam(predictor: Predictor) -> None:
    asked = recorded("osam")
    ours = masks_of(predictor, photograph_in(asked[0]["body"]["image"]), BOX, edge_sam.Prompt(points=[(48, 32)]))
    for mask, answer in zip(ours, replay(predictor, asked), strict=True):
        (found,) = answer["annotations"]
        box = found["bounding_box"]
        part = np.asarray(Image.open(io.BytesIO(base64.b64decode(found["mask"]))))
        assert np.array_equal(mask[box["ymin"] : box["ymax"] + 1, box["xmin"] : box["xmax"] + 1], part == 255)
        assert np.count_nonzero(mask) == np.count_nonzero(part)


def test_label_studio(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "key")
    asked = recorded("label_studio")
    with studio() as address:
        answers = replay(predictor, asked, label_studio=address)
    paths = [each["path"] for each in asked]
    assert set(paths) >= {"/health", "/setup", "/predict"}
    predictions = [answer["results"] for path, answer in zip(paths, answers, strict=True) if path == "/predict"]
    on_and_off = edge_sam.Prompt(points=[ON_CUP, OFF_CUP], labels=[1, 0], box=CUP)
    ours = masks_of(predictor, PHOTOGRAPH.read_bytes(), BOX, on_and_off)
    for mask, (prediction,) in zip(ours, predictions, strict=True):
        (region,) = prediction["result"]
        assert np.array_equal(decode_brush(region["value"]["rle"]).reshape(64, 96, 4)[..., 3] == 255, mask)


@contextmanager
def studio() -> Iterator[str]:
    """Serve the photograph as Label Studio does."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.headers["Authorization"] == "Token key" else 401)
            self.end_headers()
            self.wfile.write(PHOTOGRAPH.read_bytes())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def filled(outlines: list[Any]) -> NDArray[np.bool_]:
    """Fill outlines."""
    mask = np.zeros((64, 96), np.uint8)
    cv2.fillPoly(mask, [np.round(np.array(outline)).astype(np.int32) for outline in outlines], 1)
    return mask.view(np.bool_)
