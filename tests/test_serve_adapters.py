"""The protocols of labelling tools. Requests are written by hand; `test_serve_recorded` has those of real clients."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from served import COFFEE, COFFEE_BASE64, CUP, client_of, upload
from starlette.testclient import TestClient

import edge_sam
from edge_sam.errors import InputError
from edge_sam.imaging.masks import decode_rle, iou
from edge_sam.predictor import Predictor
from edge_sam.serve.adapters.label_studio_config import find_control
from edge_sam.serve.adapters.label_studio_rle import encode_brush


@pytest.fixture(scope="module")
def client(predictor: Predictor) -> Iterator[TestClient]:
    with client_of(predictor) as made:
        yield made


@pytest.fixture(scope="module")
def cup(predictor: Predictor, coffee: np.ndarray) -> NDArray[np.bool_]:
    """The mask that the Python API gives for the cup's box."""
    embedding = predictor.encode(coffee, long_side=512)
    mask: NDArray[np.bool_] = predictor.predict(embedding, edge_sam.Prompt(box=CUP), multimask=False).masks[0]
    return mask


def decode_brush(data: list[int]) -> NDArray[np.uint8]:
    """Decode Label Studio's run lengths, a bit at a time, as its page does."""
    bits = "".join(f"{byte:08b}" for byte in data)
    position = 0

    def read(count: int) -> int:
        nonlocal position
        position += count
        return int(bits[position - count : position], 2)

    total, word = read(32), read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < total:
        repeated = read(1)
        length = read(sizes[read(2)]) + 1
        values += [read(word)] * length if repeated else [read(word) for _ in range(length)]
    return np.array(values, np.uint8)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (7, 3), (40, 61), (200, 300)])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_brush_masks_come_back(shape: tuple[int, int], share: float) -> None:
    mask = np.random.default_rng(0).random(shape) < share
    decoded = decode_brush(encode_brush(mask)).reshape(*shape, 4)
    assert np.array_equal(decoded, np.repeat(mask[..., None] * np.uint8(255), 4, axis=2))


BRUSH = """<View>
  <!-- Smart tools draw the points; predictions go to the brush. -->
  <Image name="image" value="$photo" zoom="true"/>
  <BrushLabels name="tag" toName="image"><Label value="Cup" background="#FF0000"/><Label value="Spoon"/></BrushLabels>
  <KeyPointLabels name="tag2" toName="image" smart="true"><Label value="Cup" smart="true"/></KeyPointLabels>
  <RectangleLabels name="tag3" toName="image" smart="true"><Label value="Cup" smart="true"/></RectangleLabels>
</View>"""


def label_studio(config: str, photo: str, *marks: dict[str, Any]) -> dict[str, Any]:
    """The body that Label Studio posts to /predict when a smart region is drawn."""
    return {
        "tasks": [{"id": 7, "data": {"photo": photo}, "project": 1}],
        "model_version": "mobile-sam",
        "project": "1.1790000000",
        "label_config": config,
        "params": {"login": None, "password": None, "context": {"result": list(marks)}},
    }


def rectangle(x0: float, y0: float, x1: float, y1: float) -> dict[str, Any]:
    per_cent = {"x": x0 / 6, "y": y0 / 4, "width": (x1 - x0) / 6, "height": (y1 - y0) / 4}
    return {
        "original_width": 600,
        "original_height": 400,
        "image_rotation": 0,
        "value": {**per_cent, "rotation": 0, "rectanglelabels": ["Cup"]},
        "id": "r1",
        "from_name": "tag3",
        "to_name": "image",
        "type": "rectanglelabels",
        "origin": "manual",
    }


def key_point(x: float, y: float, **positive: bool) -> dict[str, Any]:
    value = {"x": x / 6, "y": y / 4, "width": 0.3, "keypointlabels": ["Cup"]}
    return {"type": "keypointlabels", "from_name": "tag2", "to_name": "image", "value": value, **positive}


DATA_URI = f"data:image/png;base64,{COFFEE_BASE64}"


def test_label_studio_gets_a_brush(client: TestClient, cup: NDArray[np.bool_]) -> None:
    assert client.get("/health").json()["model_class"]
    setup = client.post("/setup", json={"project": "1.1790000000", "schema": BRUSH, "extra_params": None})
    version = setup.json()["model_version"]
    assert client.post("/webhook", json={"action": "PROJECT_UPDATED", "project": {"id": 1}}).status_code == 201
    (prediction,) = client.post("/predict", json=label_studio(BRUSH, DATA_URI, rectangle(*CUP))).json()["results"]
    assert prediction["model_version"] == version
    (region,) = prediction["result"]
    assert (region["from_name"], region["to_name"], region["type"]) == ("tag", "image", "brushlabels")
    assert (region["original_width"], region["original_height"]) == (600, 400)
    assert region["value"]["brushlabels"] == ["Cup"]
    decoded = decode_brush(region["value"]["rle"]).reshape(400, 600, 4)
    assert iou(decoded[..., 3] == 255, cup) == 1
    assert prediction["score"] == pytest.approx(region["score"])


def test_label_studio_without_marks_gets_nothing(client: TestClient) -> None:
    assert client.post("/predict", json=label_studio(BRUSH, DATA_URI)).json() == {"results": []}
    body = {"tasks": [{"id": 7, "data": {"photo": DATA_URI}}], "label_config": BRUSH, "params": {"context": None}}
    assert client.post("/predict", json=body).json() == {"results": []}


def test_label_studio_points_may_be_off_the_object(client: TestClient) -> None:
    def area(*marks: dict[str, Any]) -> int:
        body = label_studio(BRUSH.replace("Brush", "Bitmask"), DATA_URI, *marks)
        (region,) = client.post("/predict", json=body).json()["results"][0]["result"]
        assert region["type"] == "bitmasklabels"
        head, _, text = region["value"]["imageDataURL"].partition(",")
        assert head == "data:image/png;base64"
        image = cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_UNCHANGED)
        assert image is not None
        return int(np.count_nonzero(image))

    box = rectangle(*CUP)
    assert area(box, key_point(300, 120, is_positive=False)) < area(box, key_point(300, 120, is_positive=True))


def test_label_studio_takes_polygons_and_rectangles(client: TestClient, cup: NDArray[np.bool_]) -> None:
    polygon = BRUSH.replace("BrushLabels", "PolygonLabels")
    (region,) = client.post("/predict", json=label_studio(polygon, DATA_URI, rectangle(*CUP))).json()["results"][0][
        "result"
    ]
    filled = np.zeros(cup.shape, np.uint8)
    cv2.fillPoly(filled, [np.round(np.array(region["value"]["points"]) * (6, 4)).astype(np.int32)], 1)
    assert iou(filled.view(np.bool_), cup) > 0.99
    only_boxes = BRUSH.replace("BrushLabels", "Labels")
    (region,) = client.post("/predict", json=label_studio(only_boxes, DATA_URI, rectangle(*CUP))).json()["results"][0][
        "result"
    ]
    assert region["from_name"] == "tag3"
    assert region["value"]["x"] * 6 == pytest.approx(CUP[0], abs=3)


@pytest.mark.parametrize(
    "config",
    ["", "<View>", "<View/>", BRUSH.replace("$photo", "photo"), BRUSH.replace('name="image"', 'name="other"'),
     '<!DOCTYPE v [<!ENTITY a "aaaa">]><View>&a;</View>', "\0"],
)  # fmt: skip
def test_a_label_config_that_does_not_fit_is_refused(config: str) -> None:
    only = config.replace("RectangleLabels", "Other")
    with pytest.raises(InputError, match="label_config"):
        find_control(only)


class LabelStudio(BaseHTTPRequestHandler):
    """A Label Studio that delivers one photograph to those who have its key."""

    def do_GET(self) -> None:
        allowed = self.headers.get("Authorization") == "Token secret"
        status = 302 if "away" in self.path else 200 if allowed else 401
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()
        self.wfile.write(COFFEE if status == 200 else b"no")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def studio() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), LabelStudio) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_photographs_come_from_the_named_label_studio_only(
    predictor: Predictor, studio: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def status(client: TestClient, address: str) -> int:
        return int(client.post("/predict", json=label_studio(BRUSH, address, rectangle(*CUP))).status_code)

    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "secret")
    with client_of(predictor) as client:
        assert status(client, f"{studio}/data/upload/1/cup.png") == 422
    with client_of(predictor, label_studio=studio, max_body_mb=1) as client:
        assert status(client, "/data/upload/1/cup.png") == 200
        assert status(client, f"{studio}/data/upload/1/cup.png") == 200
        for other in ("/away", "http://127.0.0.1:1/x", "//127.0.0.1:1/x", f"{studio}@evil.example/x", "file:///etc/passwd",
                      f"{studio.replace('://', '://user@')}/x", "http://[", "gopher://x"):  # fmt: skip
            assert status(client, other) == 422, other
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", "wrong")
        assert status(client, "/data/upload/1/cup.png") == 422
    with client_of(predictor, label_studio="http://127.0.0.1:1") as client:
        assert status(client, "/data/upload/1/cup.png") == 503


def test_x_anylabeling(client: TestClient, cup: NDArray[np.bool_]) -> None:
    (name,) = client.get("/v1/models", headers={"Token": ""}).json()["data"]
    info = client.get(f"/v1/models/{name}/info").json()
    assert info["success"]
    assert {widget["name"] for widget in info["data"]["widgets"]} >= {"button_add_point", "button_add_rect"}
    box = {"type": "rectangle", "data": [478, 390, 76, 18], "label": 1}
    params = {"conf_threshold": 0.0, "iou_threshold": 0.0, "epsilon_factor": 0.001, "marks": [box]}
    body = {"model": name, "image": DATA_URI, "params": params}
    data = client.post("/v1/predict", json=body).json()["data"]
    filled = np.zeros(cup.shape, np.uint8)
    for shape in data["shapes"]:
        assert (shape["label"], shape["shape_type"]) == ("AUTOLABEL_OBJECT", "polygon")
        assert shape["points"][0] == shape["points"][-1]
        cv2.fillPoly(filled, [np.array(shape["points"], np.int32)], 1)
    assert iou(filled.view(np.bool_), cup) > 0.98
    assert data["replace"] is False
    point = {"type": "point", "data": [300, 120], "label": 1}
    several = {**body, "params": {"marks": [point, box, box]}}
    assert len(client.post("/v1/predict", json=several).json()["data"]["shapes"]) >= 2
    assert client.post("/v1/predict", json={**body, "params": {}}).json()["data"]["shapes"] == []
    wrong = client.post("/v1/predict", json={**body, "model": "sam3"})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (200, "MODEL_NOT_FOUND")
    words = client.post("/v1/predict", json={**body, "params": {"text_prompt": "cup"}})
    assert not words.json()["success"]


def test_osam(client: TestClient, cup: NDArray[np.bool_]) -> None:
    prompt = {"points": [CUP[:2], CUP[2:]], "point_labels": [2, 3]}
    answer = client.post("/api/generate", json={"model": "sam:latest", "image": COFFEE_BASE64, "prompt": prompt})
    (found,) = answer.json()["annotations"]
    box = found["bounding_box"]
    image = cv2.imdecode(np.frombuffer(base64.b64decode(found["mask"]), np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    assert image.shape == (box["ymax"] - box["ymin"] + 1, box["xmax"] - box["xmin"] + 1)
    whole = np.zeros(cup.shape, np.bool_)
    whole[box["ymin"] : box["ymax"] + 1, box["xmin"] : box["xmax"] + 1] = image == 255
    assert iou(whole, cup) == 1
    middle = client.post("/api/generate", json={"model": "sam", "image": COFFEE_BASE64})
    assert len(middle.json()["annotations"]) == 1
    refusals: list[dict[str, Any]] = [{"image_embedding": {}}, {"image": COFFEE_BASE64, "prompt": {"texts": ["cup"]}}]
    for wrong in refusals:
        refused = client.post("/api/generate", json={"model": "sam", **wrong})
        assert refused.status_code == 400
        assert isinstance(refused.json()["detail"], str)


def test_roboflow(client: TestClient, cup: NDArray[np.bool_]) -> None:
    image = {"type": "base64", "value": COFFEE_BASE64}
    embedded = client.post("/sam2/embed_image", json={"image": image, "api_key": None}).json()
    assert embedded["image_id"] == upload(client)
    x0, y0, x1, y1 = CUP
    prompt = {"box": {"x": (x0 + x1) / 2, "y": (y0 + y1) / 2, "width": x1 - x0, "height": y1 - y0}}
    body = {
        "sam2_version_id": "hiera_tiny",
        "multimask_output": False,
        "format": "rle",
        "prompts": {"prompts": [prompt]},
    }
    for source in ({"image": image}, {"image_id": embedded["image_id"]}):
        answer = client.post("/sam2/segment_image?api_key=x", json={**body, **source, "api_key": None}).json()
        (found,) = answer["predictions"]
        assert found["format"] == "rle"
        assert iou(decode_rle(found["masks"]), cup) > 0.95  # Token 0's, not the one that `auto` takes.
    point = {"points": [{"x": 300, "y": 120, "positive": True}]}
    several = {"image": image, "format": "json", "prompts": [prompt, point]}
    polygons = client.post("/sam2/segment_image", json=several).json()["predictions"]
    assert [each["format"] for each in polygons] == ["polygon", "polygon"]
    assert len(polygons[0]["masks"][0][0]) == 2
    assert client.post("/sam2/segment_image", json={"image": image, "prompts": []}).status_code == 400
    assert client.post("/sam2/segment_image", json={"image_id": "x", "prompts": [point]}).status_code == 404
