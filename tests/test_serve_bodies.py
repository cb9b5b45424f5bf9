"""Large bodies, which must not hold up other requests while they are read."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from served import COFFEE, check_error, client_of
from starlette.requests import Request
from starlette.testclient import TestClient

from edge_sam.errors import InputError
from edge_sam.predictor import Predictor
from edge_sam.serve import bodies
from edge_sam.serve.adapters import photographs
from edge_sam.serve.adapters.photographs import decode_photograph, photograph_in

DATA = np.random.default_rng(0).bytes(1000)


@pytest.fixture(scope="module")
def client(predictor: Predictor) -> Iterator[TestClient]:
    with client_of(predictor) as made:
        yield made


def test_a_body_of_many_values_is_refused_before_it_is_decoded(client: TestClient) -> None:
    points = "[1,2]," * 200_000
    check_error(client.post("/images/x/masks", content=f'{{"prompts": [{{"points": [{points}[1,2]]}}]}}'), 413)
    refused = client.post("/api/generate", content=f'{{"model": "sam", "prompt": {{"points": [{points}[1,2]]}}}}')
    assert (refused.status_code, refused.json()["code"]) == (413, "too_many_values")


def test_label_studio_may_send_the_brush_masks_of_a_task(client: TestClient) -> None:
    values = ",".join(["255"] * 1_000_000)
    task = f'{{"id": 1, "data": {{}}, "annotations": [{{"result": [{{"value": {{"rle": [{values}]}}}}]}}]}}'
    assert client.post("/predict", content=f'{{"tasks": [{task}]}}').json() == {"results": []}


def test_label_studio_may_not_send_as_many_objects(client: TestClient) -> None:
    tasks = ",".join(['{"data":{}}'] * 400_001)
    check_error(client.post("/predict", content=f'{{"tasks":[{tasks}]}}'), 413)
    mark = '{"type":"x","value":0}'
    marks = f'{{"tasks":[{{"data":{{}}}}],"params":{{"context":{{"result":[{",".join([mark] * 2001)}]}}}}}}'
    check_error(client.post("/predict", content=marks), 422)


@pytest.mark.parametrize("size", [0, 4, 500, 999, 1000])
def test_photographs_are_decoded_in_pieces(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(photographs, "_PIECE", 400)
    text = base64.b64encode(DATA[:size]).decode()
    assert asyncio.run(photograph_in(text)) == decode_photograph(f"data:image/png;base64,{text}") == DATA[:size]


@pytest.mark.parametrize(
    "text", ["AA==" * 200, "A" * 401, "AAA=" + "A" * 400, "A" * 399 + "=" + "AAAA", "A" * 400 + "é"]
)
def test_what_is_not_base64_is_refused_in_pieces_too(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(photographs, "_PIECE", 400)
    with pytest.raises(InputError, match="not base64"):
        decode_photograph(text)


def test_other_requests_go_on_while_a_form_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_PIECE", 1000)
    head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    form = head + COFFEE[:20_000] + b"\r\n--x--\r\n"
    request = Request({"type": "http", "headers": [(b"content-type", b"multipart/form-data; boundary=x")]})

    async def scenario() -> tuple[bytes, int]:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(others())
        read: Any = await bodies.photograph_of(request, form)
        task.cancel()
        return read, turns

    read, turns = asyncio.run(scenario())
    assert read == COFFEE[:20_000]
    assert turns > 10
