"""Words over HTTP: with the trained detector and the trained image-text pair of `test_text_proof`."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest
from command_line import invoke, run_here
from conftest import iou
from numpy.typing import NDArray
from PIL import Image
from served import SERVER, check_error, client_of, upload
from starlette.testclient import TestClient
from test_text_proof import LEAST, THRESHOLD, detector, pair
from text_scenes import PLAIN, Scene, draw_scene

from edge_sam import Prompt, TextSegmenter, load_matcher
from edge_sam.imaging.masks import decode_rle
from edge_sam.imaging.view import View
from edge_sam.predictor import Predictor
from edge_sam.serve.access import Access
from edge_sam.serve.app import make_app
from edge_sam.serve.segmenter import Segmenter
from edge_sam.serve.settings import ServeSettings
from edge_sam.serve.words import find_words

__all__ = ["detector", "pair"]
pytestmark = pytest.mark.thorough
MOST = 4


def png_of(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def scene() -> Scene:
    return draw_scene(np.random.default_rng(101))


@pytest.fixture(scope="module")
def present(scene: Scene) -> str:
    return f"a {' '.join(scene.objects[0].kind)}"


@pytest.fixture(scope="module")
def absent(scene: Scene) -> str:
    return next(phrase for phrase in PLAIN if not scene.meant(phrase))


@pytest.fixture(scope="module")
def words(predictor: Predictor, detector: Path) -> TextSegmenter:
    return TextSegmenter(predictor, load_matcher(detector), threshold=THRESHOLD)


@pytest.fixture(scope="module")
def client(predictor: Predictor, words: TextSegmenter) -> Iterator[TestClient]:
    with client_of(predictor, text=words, max_texts=MOST) as made:
        yield made


def test_words_give_the_masks_of_the_python_api(
    client: TestClient, words: TextSegmenter, scene: Scene, present: str, absent: str
) -> None:
    expected = words.segment(scene.image, [present, absent], long_side=512)
    id = upload(client, png_of(scene.image))
    answer = client.post(f"/images/{id}/text", json={"text": [present, absent]})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert [mask["text"] for mask in found["masks"]] == expected.words == [present]
    assert (found["absent"], found["threshold"]) == ([absent], THRESHOLD)
    assert {"match", "decode"} <= found["timings"].keys()
    (mask,) = found["masks"]
    assert iou(decode_rle(mask["rle"]), expected.masks[0]) == 1
    assert mask["score"] == pytest.approx(expected.scores[0], abs=1e-5)
    assert mask["predicted_iou"] == pytest.approx(expected.predicted_iou[0], abs=1e-5)
    document = client.get("/openapi.json").json()
    schema = document["components"]["schemas"]["TextAnswer"]
    jsonschema.validate(found, {**schema, "components": document["components"]})
    assert 'edge_sam_stage_seconds_count{stage="match"}' in client.get("/metrics").text
    changed = {"text": [present], "threshold": 1, "format": "png"}
    assert client.post(f"/images/{id}/text", json=changed).json()["absent"] == [present]


def test_the_server_says_that_it_reads_text(client: TestClient) -> None:
    assert client.get("/health").json()["text"] is True
    assert client.get("/models").json()["models"][0]["text"] is True
    matcher = client.get("/model").json()["matcher"]
    assert (matcher["layout"], matcher["kind"], matcher["max_texts"]) == ("owl", "boxes", MOST)
    assert matcher["threshold"] == THRESHOLD


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({"text": []}, 422, "length >= 1"),
        ({"text": ["a cup", "  "]}, 422, "a text is empty"),
        ({"text": "a cup"}, 422, "array"),
        ({"text": ["x" * 201]}, 422, "200"),
        ({"text": ["a", "b", "c", "d", "e"]}, 413, "send at most 4"),
        ({"text": ["a"], "top": 0}, 422, "1"),
        ({"text": ["a"], "threshold": 1.1}, 422, "1"),
        ({"text": ["a"], "template": "{}"}, 422, "template"),
    ],
)
def test_what_no_matcher_answers(
    client: TestClient, scene: Scene, body: dict[str, Any], status: int, reason: str
) -> None:
    answer = client.post(f"/images/{upload(client, png_of(scene.image))}/text", json=body)
    check_error(answer, status)
    assert reason in answer.json()["error"]["message"]


def test_a_server_without_a_matcher_says_how_to_start_it(predictor: Predictor, scene: Scene) -> None:
    data = png_of(scene.image)
    photograph = base64.b64encode(data).decode()
    with client_of(predictor) as client:
        id = upload(client, data)
        assert client.get("/health").json()["text"] is False
        assert client.get("/model").json()["matcher"] is None
        for path in (f"/images/{id}/text", f"/images/{id}/everything"):
            refused = client.post(path, json={"text": ["a cup"]})
            check_error(refused, 422)
            assert "edge-sam serve --matcher" in refused.json()["error"]["message"]
        osam = client.post("/api/generate", json={"model": "x", "image": photograph, "prompt": {"texts": ["a cup"]}})
        assert (osam.status_code, "--matcher" in osam.json()["detail"]) == (400, True)
        labelling = {"model": "mobile-sam", "image": photograph, "params": {"text_prompt": "a cup"}}
        assert "--matcher" in client.post("/v1/predict", json=labelling).json()["error"]["message"]


def test_masks_of_everything_mode_get_labels(client: TestClient, scene: Scene, present: str) -> None:
    id = upload(client, png_of(scene.image))
    settings = {"points_per_side": 4, "long_side": 256, "text": [present]}
    lines = [json.loads(line) for line in client.post(f"/images/{id}/everything", json=settings).text.splitlines()]
    masks = {line["id"]: decode_rle(line["mask"]["rle"]) for line in lines if "mask" in line}
    labels, summary = lines[-2]["labels"], lines[-1]["summary"]
    assert {label["id"] for label in labels} <= set(summary["masks"])
    assert {label["text"] for label in labels} == {present}
    assert max(iou(masks[label["id"]], scene.objects[0].mask) for label in labels) >= LEAST
    assert len(labels) < len(summary["masks"])


def test_masks_without_labels_have_a_summary(
    predictor: Predictor, words: TextSegmenter, scene: Scene, present: str
) -> None:
    settings = ServeSettings(max_matches=1)
    segmenter = Segmenter(predictor, settings, View(long_side=512), None, words)
    with TestClient(make_app(segmenter, Access(settings)), base_url=SERVER) as client:
        id = upload(client, png_of(scene.image), long_side=128)
        with segmenter.matches.admit(None):
            body = {"points_per_side": 1, "long_side": 128, "text": [present]}
            answer = client.post(f"/images/{id}/everything", json=body)
    segmenter.close()
    *_, failure, last = (json.loads(line) for line in answer.text.splitlines())
    assert failure["error"]["code"] == "queue_full"
    assert last["summary"]["points"] == 1


def test_labelling_tools_ask_by_words(client: TestClient, scene: Scene, present: str, absent: str) -> None:
    photograph = base64.b64encode(png_of(scene.image)).decode()
    prompt = {"texts": [present, absent], "iou_threshold": 0.5, "score_threshold": THRESHOLD, "max_annotations": 1}
    answer = client.post("/api/generate", json={"model": "yoloworld", "image": photograph, "prompt": prompt})
    (annotation,) = answer.json()["annotations"]
    assert annotation["text"] == present
    assert THRESHOLD <= annotation["score"] <= 1
    none = client.post(
        "/api/generate", json={"model": "x", "image": photograph, "prompt": {**prompt, "score_threshold": 1}}
    )
    assert none.json()["annotations"] == []
    info = client.get("/v1/models/mobile-sam/info").json()["data"]
    assert {"edit_text", "button_send"} <= {widget["name"] for widget in info["widgets"]}
    assert {"name": "edit_conf", "value": THRESHOLD} in info["widgets"]
    params = {"conf_threshold": 0.0, "iou_threshold": 0.0, "text_prompt": f"{present}, {absent}"}
    data = client.post("/v1/predict", json={"model": "mobile-sam", "image": photograph, "params": params}).json()
    shapes = data["data"]["shapes"]
    assert {shape["label"] for shape in shapes} == {present}
    filled = np.zeros(scene.objects[0].mask.shape, np.uint8)
    for shape in shapes:
        cv2.fillPoly(filled, [np.array(shape["points"], np.int32)], 1)
    assert iou(filled.view(np.bool_), scene.objects[0].mask) >= LEAST


def test_osams_default_threshold_is_not_given(predictor: Predictor, words: TextSegmenter, scene: Scene) -> None:
    photograph, phrase = base64.b64encode(png_of(scene.image)).decode(), f"a {' '.join(scene.objects[0].kind)}"
    strict = TextSegmenter(predictor, words.matcher, threshold=1)
    with client_of(predictor, text=strict) as client:
        found = []
        for least in (0.1, 0.101):
            prompt = {"texts": [phrase], "iou_threshold": 0.5, "score_threshold": least, "max_annotations": 100}
            answer = client.post("/api/generate", json={"model": "x", "image": photograph, "prompt": prompt})
            found.append(len(answer.json()["annotations"]))
    assert found[0] == 0
    assert found[1] > 0


@pytest.mark.parametrize("text", ["a" * 1000, "a," * (MOST + 1)])
def test_a_text_prompt_that_is_too_long_is_refused(client: TestClient, scene: Scene, text: str) -> None:
    photograph = base64.b64encode(png_of(scene.image)).decode()
    body = {"model": "mobile-sam", "image": photograph, "params": {"text_prompt": text}}
    assert client.post("/v1/predict", json=body).json()["error"]["code"] == "too_many_texts"


def test_clicks_do_not_wait_for_the_matcher(
    predictor: Predictor, words: TextSegmenter, scene: Scene, present: str
) -> None:
    segmenter = Segmenter(predictor, ServeSettings(max_matches=1), View(long_side=512), None, words)
    blocked = threading.Event()

    async def scenario() -> None:
        image, _ = await segmenter.encode(png_of(scene.image))
        segmenter.matches.submit(blocked.wait)
        asked = asyncio.ensure_future(find_words(segmenter, image, [present], lambda result: len(result.masks)))
        x0, y0, x1, y1 = scene.objects[0].box
        answers, _ = await segmenter.predict(
            image, [Prompt(box=(x0, y0, x1, y1))], lambda result: int(result.masks.sum())
        )
        assert answers[0] > 0
        assert not asked.done()
        with pytest.raises(Exception, match="wait to match"):
            await find_words(segmenter, image, [present], lambda result: len(result.masks))
        blocked.set()
        found = await asked
        assert [(each.word, count) for each, count in found.masks] == [(present, 1)]

    try:
        asyncio.run(scenario())
    finally:
        blocked.set()
        segmenter.close()


def test_an_image_text_pair_answers_with_the_masks_that_it_compared(predictor: Predictor, pair: Path) -> None:
    scene = draw_scene(np.random.default_rng(101))
    present = f"a {' '.join(scene.objects[0].kind[1:])}"
    absent = next(phrase for phrase in PLAIN if not scene.meant(phrase))
    with client_of(predictor, text=TextSegmenter(predictor, load_matcher(pair))) as client:
        assert client.get("/model").json()["matcher"]["kind"] == "similarity"
        id = upload(client, png_of(scene.image), long_side=256)
        found = client.post(f"/images/{id}/text", json={"text": [present, absent], "top": 1}).json()
    assert [mask["text"] for mask in found["masks"]] == [present]
    assert found["absent"] == [absent]
    assert iou(decode_rle(found["masks"][0]["rle"]), scene.objects[0].mask) >= LEAST
    assert "decode" not in found["timings"]


def test_a_pair_in_one_photograph_encodes_it_in_everything_mode_only(tmp_path: Path, pair: Path) -> None:
    scene = draw_scene(np.random.default_rng(101))
    Image.fromarray(scene.image).save(tmp_path / "scene.png")
    phrase = f"a {' '.join(scene.objects[0].kind[1:])}"
    options = ("--text", phrase, "--matcher", pair, "--top", 1, "--long-side", 128, "--json")
    done = run_here("segment", "scene.png", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [mask["text"] for mask in report["masks"]] == [phrase]
    assert (report["height"], report["width"]) == scene.image.shape[:2]
    assert "match" in report["timings_ms"]
    assert "encode" not in report["timings_ms"]


def test_a_matcher_that_is_none_stops_the_server_before_it_listens(tmp_path: Path) -> None:
    done = invoke("serve", "--matcher", str(tmp_path / "none"), "--port", "0")
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "none" in done.stderr
