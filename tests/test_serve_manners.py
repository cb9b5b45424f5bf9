"""Who may ask the server, and what it does with many clients at once."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from command_line import invoke
from served import COFFEE, COFFEE_BASE64, CUP, DEEP, check_error, client_of, upload
from starlette.requests import Request
from starlette.testclient import TestClient

from edge_sam.errors import InputError
from edge_sam.imaging.view import View
from edge_sam.predictor import Predictor
from edge_sam.serve.access import Access
from edge_sam.serve.errors import HttpError
from edge_sam.serve.segmenter import Segmenter
from edge_sam.serve.settings import ServeSettings
from edge_sam.serve.work_queue import ByteBudget, WorkQueue


@pytest.fixture(scope="module")
def client(predictor: Predictor) -> Iterator[TestClient]:
    with client_of(predictor, max_prompts=4, max_body_mb=1, max_megapixels=0.5) as made:
        yield made


@pytest.fixture(scope="module")
def cup(client: TestClient) -> str:
    return upload(client)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 400),
        ({"Host": "evil.example:8765"}, 400),
        ({"Host": "127.0.0.1.evil.example"}, 400),
        ({"Host": "localhost.evil.example"}, 400),
        ({"Host": ""}, 400),
        ({"Host": "["}, 400),
        ({"Host": "localhost:8765"}, 200),
        ({"Host": "[::1]:8765"}, 200),
        ({"Host": "labels.example"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Origin": "http://127.0.0.1:9999"}, 403),
        ({"Origin": "http://127.0.0.1:8765"}, 200),
        ({"Origin": "https://tool.example"}, 200),
    ],
)
def test_only_own_names_and_pages(predictor: Predictor, headers: dict[str, str], status: int) -> None:
    with client_of(predictor, allow_host=["labels.example"], allow_origin=["https://tool.example"]) as client:
        answer = client.get("/models", headers=headers)
    assert answer.status_code == status
    allowed = answer.headers.get("access-control-allow-origin")
    assert allowed == ("https://tool.example" if "tool" in headers.get("Origin", "") else None)


def test_no_other_site_may_read_by_default(client: TestClient) -> None:
    answer = client.options(
        "/images", headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    )
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


KEY = "a key with ümlauts"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Bearer"}, 401),
        ({"Authorization": "Basic !"}, 401),
        ({"Authorization": f"Basic {base64.b64encode(b'user:wrong').decode()}"}, 401),
        ({"Authorization": f"Bearer {KEY}"}, 200),
        ({"Authorization": f"Basic {base64.b64encode(f'user:{KEY}'.encode()).decode()}"}, 200),
        ({"Token": KEY}, 200),
    ],
)
def test_the_key(predictor: Predictor, tmp_path: Path, headers: dict[str, str], status: int) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n", encoding="utf-8")
    encoded = {name.encode(): value.encode() for name, value in headers.items()}
    with client_of(predictor, api_key_file=file) as client:
        answer = client.get("/models", headers=encoded)
        assert answer.status_code == status
        if status == 401:
            check_error(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
        assert client.get("/health").status_code == 200
        assert client.get("/", headers={"Accept": "text/html"}).status_code == 200
        assert client.post("/health").status_code == 401
        assert client.get("/metrics").status_code == 401


def test_impossible_settings_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    for settings in ({"api_key_file": empty}, {"api_key_file": tmp_path / "none"}, {"allow_origin": ["example.com"]},
                     {"allow_origin": ["https://example.com/"]}, {"label_studio": "localhost:8080"}):  # fmt: skip
        with pytest.raises(InputError):
            Access(ServeSettings(**settings))
    with pytest.raises(InputError, match="max_prompts is 0"):
        ServeSettings(max_prompts=0)
    monkeypatch.setenv("EDGE_SAM_API_KEY", "from the environment")
    assert Access(ServeSettings()).key == "from the environment"
    done = invoke("serve", "--store", str(tmp_path), "--no-store", "--port", "0")
    assert done.exit_code == 2
    assert "--no-store" in done.stderr


def test_request_ids(client: TestClient) -> None:
    mine = client.get("/nothing", headers={"X-Request-ID": "trace-1"})
    assert mine.headers["x-request-id"] == mine.json()["request_id"] == "trace-1"
    theirs = client.get("/nothing", headers={"X-Request-ID": "a b" * 100})
    assert len(theirs.json()["request_id"]) == 16


def test_a_fault_of_ours_is_told_to_the_log_only(
    client: TestClient, cup: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(Predictor, "predict", fail)
    with caplog.at_level(logging.ERROR, "edge_sam.serve"):
        answer = client.post(f"/images/{cup}/masks", json={"prompts": [{"box": CUP}]})
    check_error(answer, 500)
    assert answer.json()["request_id"] in caplog.text
    assert "secret" not in answer.text
    assert "secret detail" in caplog.text


def test_a_full_queue_a_slow_job_and_one_that_never_began() -> None:
    async def scenario() -> None:
        queue, free, ran = WorkQueue("decode", 2, 0.2), threading.Event(), []
        with queue.admit() as first, queue.admit() as second:
            with pytest.raises(HttpError) as full, queue.admit():
                pass
            assert (full.value.status, int(full.value.headers["Retry-After"])) == (429, 1)
            slow = asyncio.ensure_future(first.run(free.wait))
            late = asyncio.ensure_future(second.run(lambda: ran.append(1)))
            for job in (slow, late):
                with pytest.raises(HttpError, match="took more than"):
                    await job
        assert queue.present == 0
        free.set()
        queue.seconds = 60.0
        with queue.admit() as third:
            assert await third.run(lambda: "done") == "done"
        assert not ran
        queue.close()

    asyncio.run(scenario())


def test_what_has_not_begun_is_dropped_when_its_client_goes() -> None:
    async def gone() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def scenario() -> None:
        queue, free, ran = WorkQueue("decode", 2, 60.0), threading.Event(), list[int]()
        before = asyncio.wrap_future(queue.submit(free.wait))
        with queue.admit(Request({"type": "http"}, gone)) as place, pytest.raises(HttpError) as left:
            await place.run(lambda: ran.append(1))
        assert (left.value.status, queue.present) == (499, 0)
        free.set()
        await before
        with queue.admit() as last:
            await last.run(lambda: None)
        assert not ran
        queue.close()

    asyncio.run(scenario())


def test_others_come_in_between_the_jobs_of_one_request() -> None:
    async def scenario() -> list[str]:
        queue, order = WorkQueue("decode", 8, 10.0), list[str]()

        async def ask(name: str) -> None:
            with queue.admit() as place:
                for _ in range(3):
                    await place.run(lambda: order.append(name))

        await asyncio.gather(ask("a"), ask("b"))
        queue.close()
        return order

    assert asyncio.run(scenario()) == ["a", "b"] * 3


def test_a_click_does_not_wait_for_an_encode(predictor: Predictor) -> None:
    with client_of(predictor) as client:
        id = upload(client)
    segmenter = Segmenter(predictor, ServeSettings(), View(long_side=512), None)
    blocked = threading.Event()

    async def scenario() -> int:
        image, _ = await segmenter.encode(COFFEE)
        held = asyncio.wrap_future(segmenter.encodes.submit(blocked.wait))
        from edge_sam import Prompt

        answers, _ = await segmenter.predict(image, [Prompt(box=CUP)], lambda result: len(result.masks))
        assert not held.done()
        blocked.set()
        await held
        assert image.id == id
        return answers[0]

    try:
        assert asyncio.run(scenario()) == 3
    finally:
        blocked.set()
        segmenter.close()


def test_bodies_share_a_budget() -> None:
    budget = ByteBudget(100)
    with budget.lend() as first:
        first(60)
        with budget.lend() as second, pytest.raises(HttpError, match="too many uploads"):
            second(41)
        with budget.lend() as third:
            third(40)
    with budget.lend() as last:
        last(100)


def test_many_clients_at_once_get_their_own_answers(client: TestClient, cup: str) -> None:
    def click(i: int) -> list[float]:
        x, y = 100 + 40 * (i % 4), 60 + 60 * (i // 4)
        answer = client.post(f"/images/{cup}/masks", json={"prompts": [{"points": [[x, y]]}], "multimask": False})
        box: list[float] = answer.json()["results"][0]["masks"][0]["box"]
        assert box[0] <= x < box[2]
        assert box[1] <= y < box[3]
        return box

    alone = [click(i) for i in range(12)]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(click, range(12))) == alone


ADAPTERS = {
    "/predict": {"tasks": [{"data": {}}], "params": {"context": {"result": [{"type": "keypointlabels"}]}}},
    "/api/generate": {"model": "sam", "image": COFFEE_BASE64, "prompt": {"points": [[1, 2]], "point_labels": [3]}},
    "/sam2/segment_image": {"image": {"type": "url", "value": "http://127.0.0.1/x.png"}, "prompts": [{"points": []}]},
    "/v1/predict": {"model": "mobile-sam", "image": "%", "params": {"marks": [{"type": "point", "data": [1]}]}},
}


@pytest.mark.parametrize("path", sorted(ADAPTERS))
@pytest.mark.parametrize("body", ["", "[]", "{}", '{"model": 1}', DEEP, None])
def test_adapters_refuse_as_their_clients_expect(client: TestClient, path: str, body: str | None) -> None:
    answer = client.post(path, content=json.dumps(ADAPTERS[path]) if body is None else body)
    assert answer.status_code == 200 if path == "/v1/predict" else 400 <= answer.status_code < 500
    found = answer.json()
    messages = [found.get("detail"), found.get("message"), (found.get("error") or {}).get("message")]
    assert sum(isinstance(message, str) and "\n" not in message for message in messages) == 1
