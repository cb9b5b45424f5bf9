"""The HTTP API of `edge-sam serve`."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import foreign_graphs
import numpy as np
import onnxruntime
import pytest
from served import COFFEE, CUP, client_of, upload
from starlette.testclient import TestClient

import edge_sam
from edge_sam.errors import InputError
from edge_sam.imaging.masks import decode_rle, iou
from edge_sam.predictor import Predictor

ONE_POINT = {"points_per_side": 1, "long_side": 128, "square": False}


@pytest.fixture(scope="module")
def client(predictor: Predictor) -> Iterator[TestClient]:
    with client_of(predictor, max_prompts=4) as made:
        yield made


@pytest.fixture(scope="module")
def cup(client: TestClient) -> str:
    return upload(client)


@pytest.fixture(scope="module")
def expected(predictor: Predictor, coffee: np.ndarray) -> edge_sam.Result:
    """What the Python API answers to the box."""
    return predictor.predict(predictor.encode(coffee, long_side=512), edge_sam.Prompt(box=CUP))


def ask(client: TestClient, id: str, **body: Any) -> dict[str, Any]:
    answer = client.post(f"/images/{id}/masks", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_an_upload_has_the_same_id_however_it_comes(client: TestClient, cup: str) -> None:
    form = client.post("/images", files={"image": ("cup.png", COFFEE, "image/png")})
    assert form.status_code == 200
    assert form.json() | {"timings": {}} == {
        "id": cup,
        "width": 600,
        "height": 400,
        "cached": True,
        "long_side": 512,
        "square": False,
        "logit_size": [256, 256],
        "timings": {},
    }
    other = client.post("/images", content=COFFEE, params={"long_side": 256}).json()
    assert other["id"] != cup
    assert other["long_side"] == 256
    assert set(other["timings"]) == {"read", "preprocess", "encode"}


def test_masks_are_those_of_the_python_api(client: TestClient, cup: str, expected: edge_sam.Result) -> None:
    answer = ask(client, cup, prompts=[{"box": CUP}])["results"][0]
    assert answer["preferred"] == expected.preferred
    for given, mask, score, box in zip(answer["masks"], expected.masks, expected.scores, expected.boxes, strict=True):
        assert iou(decode_rle(given["rle"]), mask) == 1
        assert given["score"] == pytest.approx(score, abs=1e-5)
        assert given["box"] == box.tolist()
        assert given["area"] == np.count_nonzero(mask)


def test_every_format_holds_the_same_mask(client: TestClient, cup: str) -> None:
    prompt = {"points": [[300, 120], [100, 50]], "labels": [1, 0]}
    masks = {
        form: ask(client, cup, prompts=[prompt], multimask=False, format=form)["results"][0]["masks"][0]
        for form in ("rle", "png", "polygons")
    }
    mask = decode_rle(masks["rle"]["rle"])
    png = cv2.imdecode(np.frombuffer(base64.b64decode(masks["png"]["png"]), np.uint8), cv2.IMREAD_UNCHANGED)
    assert png is not None
    assert np.array_equal(png, mask * np.uint8(255))
    filled = np.zeros(mask.shape, np.uint8)
    cv2.fillPoly(filled, [np.array(outline, np.int32) for outline in masks["polygons"]["polygons"]], 1)
    assert iou(filled.view(np.bool_), mask) > 0.99  # Holes are not traced.


def test_several_prompts_are_answered_in_order_and_a_mask_refines(client: TestClient, cup: str) -> None:
    first = ask(client, cup, prompts=[{"box": CUP}, {"points": [[300, 120]]}], multimask=False, logits=True)
    wide, narrow = (each["masks"][0] for each in first["results"])
    assert wide["area"] > narrow["area"]
    assert set(first["timings"]) == {"decode", "upsample", "format"}
    prompt = {"points": [[300, 120]], "mask": wide["logits"]}
    refined = ask(client, cup, prompts=[prompt], multimask=False)["results"][0]["masks"][0]
    cup_mask, without, with_mask = (decode_rle(each["rle"]) for each in (wide, narrow, refined))
    assert iou(with_mask, cup_mask) > 0.7 > 0.2 > iou(without, cup_mask)


def test_everything_comes_line_by_line_and_agrees_with_the_summary(client: TestClient, cup: str) -> None:
    answer = client.post(f"/images/{cup}/everything", json={"points_per_side": 4, "long_side": 512, "square": False})
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    masks = {line["id"]: line["mask"] for line in lines if "id" in line}
    removed = {number for line in lines for number in line.get("removed", [])}
    summary = lines[-1]["summary"]
    assert summary["masks"] == sorted(set(masks) - removed)
    assert summary["points"] == 16
    for mask in masks.values():
        assert np.count_nonzero(decode_rle(mask["rle"])) == mask["area"]


def test_a_saved_embedding_answers_as_the_server_does(
    client: TestClient, cup: str, predictor: Predictor, expected: edge_sam.Result, tmp_path: Path
) -> None:
    file = tmp_path / "cup.npz"
    file.write_bytes(client.get(f"/images/{cup}/embedding").content)
    result = predictor.predict(edge_sam.ImageEmbedding.load(file), edge_sam.Prompt(box=CUP))
    assert np.array_equal(result.masks, expected.masks)


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 1e-3), ("float16", 0.2)])
def test_the_decoder_runs_outside_on_raw_tensors(
    client: TestClient, cup: str, expected: edge_sam.Result, dtype: str, bound: float
) -> None:
    """What docs/serve.md says that a page does, step by step."""
    data = client.get(f"/images/{cup}/embedding", params={"format": "raw", "dtype": dtype}).content
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    facts = {name: json.loads(text) for name, text in header.pop("__metadata__").items() if name != "id"}
    kinds = {"F32": "<f4", "F16": "<f2", "I64": "<i8"}
    feeds = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        assert begin % np.dtype(kinds[entry["dtype"]]).itemsize == 0
        values = np.frombuffer(data[8 + length + begin : 8 + length + end], kinds[entry["dtype"]])
        wide = np.int64 if entry["dtype"] == "I64" else np.float32
        feeds[name] = values.reshape(entry["shape"]).astype(wide)
    scale = np.divide(facts["scaled_size"], facts["image_size"])[::-1]
    feeds["point_coords"] = (np.reshape(CUP, (1, 2, 2)) * scale).astype(np.float32)
    feeds["point_labels"] = np.array([[2, 3]])
    described = client.get("/model").json()["decoder"]
    assert {entry["name"] for entry in described["inputs"]} == set(feeds)
    attention, upscaling = (
        onnxruntime.InferenceSession(client.get(part["url"]).content) for part in (described, described["upscaling"])
    )
    names = [each.name for each in attention.get_outputs()]
    first = dict(zip(names, attention.run(names, feeds), strict=True))
    scores = first.pop("predicted_iou")
    (logits,) = upscaling.run(["low_res_logits"], {**first, "token_size": feeds["token_size"]})
    order = np.argsort(-scores[0, 1:], kind="stable")
    rows, columns = facts["cell_size"]
    difference = logits[0, 1:][order][:, :rows, :columns] - expected.logits[:, :rows, :columns]
    assert np.abs(difference).max() < bound
    assert scores[0, 1:][order] == pytest.approx(expected.scores, abs=bound)


def test_the_server_describes_itself(client: TestClient, predictor: Predictor) -> None:
    health = client.get("/health").json()
    assert health["status"] == "UP"
    assert client.get("/").json() == health
    page = client.get("/", headers={"Accept": "text/html,*/*"})
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert client.get("/models").json()["models"][0]["name"] == "mobile-sam"
    model = client.get("/model").json()
    assert (model["license"], model["precision"], model["long_side"]) == ("Apache-2.0", predictor.precision, 512)
    figures = client.get("/metrics").text
    assert 'edge_sam_requests_total{method="GET",route="/models",status="200"}' in figures
    assert "edge_sam_stage_seconds_bucket" in figures
    assert "process_resident_memory_bytes" in figures


def test_the_openapi_document_has_every_route_and_resolves(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert {"/images", "/images/{id}/masks", "/predict", "/v1/predict", "/api/generate", "/sam2/segment_image"} <= set(
        document["paths"]
    )
    names = [each["operationId"] for path in document["paths"].values() for each in path.values()]
    assert len(set(names)) == len(names)
    text = json.dumps(document)
    schemas = document["components"]["schemas"]
    for part in text.split('"#/components/schemas/')[1:]:
        assert part.split('"')[0] in schemas


def test_answers_fit_their_schema(client: TestClient, cup: str) -> None:
    import jsonschema

    document = client.get("/openapi.json").json()
    calls = {
        "/images/{id}/masks": client.post(f"/images/{cup}/masks", json={"prompts": [{"box": CUP}], "logits": True}),
        "/images": client.post("/images", content=COFFEE),
        "/model": client.get("/model"),
        "/health": client.get("/health"),
    }
    for path, answer in calls.items():
        (operation,) = document["paths"][path].values()
        schema = operation["responses"][str(answer.status_code)]["content"]["application/json"]["schema"]
        jsonschema.validate(answer.json(), {**schema, "components": document["components"]})


def test_a_browser_asks_whether_its_decoder_is_still_the_right_one(client: TestClient) -> None:
    described = client.get("/model").json()["decoder"]
    for part in (described, described["upscaling"]):
        answer = client.get(part["url"])
        assert hashlib.sha256(answer.content).hexdigest() == part["sha256"]
        assert "no-cache" in answer.headers["cache-control"]
        again = client.get(part["url"], headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        other = client.get(part["url"], headers={"If-None-Match": '"0"'})
        assert other.content == answer.content


def test_an_imported_model_is_decoded_by_the_server_only(tmp_path: Path) -> None:
    foreign_graphs.Encoder().save(tmp_path / "encoder.onnx")
    foreign_graphs.SAM.save(tmp_path / "decoder.onnx")
    imported = edge_sam.load(tmp_path / "encoder.onnx", decoder=tmp_path / "decoder.onnx")
    with client_of(imported) as client:
        id = upload(client)
        assert ask(client, id, prompts=[{"box": CUP}])["results"][0]["masks"]
        assert client.get("/model").json()["decoder"] is None
        for path in (f"/images/{id}/embedding?format=raw", "/model/decoder.onnx"):
            assert client.get(path).json()["error"]["code"] == "no_decoder"


def test_the_files_of_onnxruntime_web_are_served_where_the_model_says(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "package" / "dist").mkdir(parents=True)
    (tmp_path / "package" / "dist" / "ort.wasm").write_bytes(b"\0asm")
    for folder in (tmp_path / "package", tmp_path / "package" / "dist"):
        with client_of(predictor, browser_runtime=folder) as client:
            answer = client.get(client.get("/model").json()["decoder"]["runtime_url"] + "ort.wasm")
            assert (answer.content, answer.headers["content-type"]) == (b"\0asm", "application/wasm")
    with pytest.raises(InputError, match="onnxruntime-web"), client_of(predictor, browser_runtime=tmp_path):
        pass


def test_an_evicted_image_asks_for_a_new_upload(predictor: Predictor) -> None:
    with client_of(predictor, cache_mb=12) as client:
        first = upload(client, long_side=128)
        second = upload(client, long_side=192)
        gone = client.post(f"/images/{first}/masks", json={"prompts": [{"box": CUP}]})
        assert gone.status_code == 404
        assert "upload it again" in gone.json()["error"]["message"]
        assert ask(client, second, prompts=[{"box": CUP}])
        assert upload(client, long_side=128) == first


def test_images_outlive_a_server_within_the_folder_size(predictor: Predictor, tmp_path: Path) -> None:
    with client_of(predictor, tmp_path, store_mb=10) as client:
        ids = [upload(client, long_side=side) for side in (128, 144, 160)]
    assert len(list(tmp_path.glob("*.npz"))) == 2
    with client_of(predictor, tmp_path) as client:
        assert client.get(f"/images/{ids[0]}/embedding").status_code == 404
        assert ask(client, ids[2], prompts=[{"box": CUP}])
        assert client.post(f"/images/{ids[2]}/everything", json=ONE_POINT).status_code == 200
        (tmp_path / f"{ids[1]}.npz").write_bytes(b"damaged")
        assert client.get(f"/images/{ids[1]}/embedding").status_code == 404
        assert upload(client, long_side=144) == ids[1]
        assert edge_sam.ImageEmbedding.load(tmp_path / f"{ids[1]}.npz")


def test_a_photograph_with_orientation_is_served_upright(client: TestClient) -> None:
    from PIL import Image

    buffer = io.BytesIO()
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (64, 32)).save(buffer, "JPEG", exif=turned)
    answer = client.post("/images", content=buffer.getvalue(), headers={"Content-Type": "image/jpeg"}).json()
    assert (answer["width"], answer["height"]) == (32, 64)
