"""What a request may cost the server, whatever it holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from served import COFFEE_BASE64, client_of
from starlette.testclient import TestClient
from test_serve_adapters import BRUSH, label_studio

from edge_sam.predictor import Predictor
from edge_sam.prompts import Prompt
from edge_sam.serve.adapters import x_anylabeling

DATA_URI = f"data:image/png;base64,{COFFEE_BASE64}"
MANY_LISTS = "[" + "[]," * 100_000 + "[]]"


@pytest.fixture(scope="module")
def client(predictor: Predictor) -> Iterator[TestClient]:
    with client_of(predictor, max_prompts=4) as made:
        yield made


@pytest.mark.parametrize("x", ["9" * 1000, [9], {"x": 9}, None, True])
def test_a_place_that_is_no_number_is_refused(client: TestClient, x: Any) -> None:
    """A text times a width would be the text so many times."""
    mark = {"type": "keypointlabels", "value": {"x": x, "y": 50}}
    answer = client.post("/predict", json=label_studio(BRUSH, DATA_URI, mark))
    assert answer.status_code == 422
    assert "a mark is not as Label Studio sends it" in answer.json()["error"]["message"]


def test_marks_of_other_tools_are_not_read(client: TestClient) -> None:
    brush = {"type": "brushlabels", "value": {"format": "rle", "rle": [1, 2], "brushlabels": ["Cup"]}}
    point = {"type": "keypointlabels", "value": {"x": 50, "y": 30, "keypointlabels": ["Spoon"]}}
    answer = client.post("/predict", json=label_studio(BRUSH, DATA_URI, point, brush))
    (region,) = answer.json()["results"][0]["result"]
    assert region["value"]["brushlabels"] == ["Spoon"]


def test_rectangles_beyond_the_limit_make_no_prompts(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Prompt] = []

    class Counted(Prompt):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            made.append(self)

    monkeypatch.setattr(x_anylabeling, "Prompt", Counted)
    (name,) = client.get("/v1/models").json()["data"]
    marks = [{"type": "point", "data": [300, 120]}] * 100 + [{"type": "rectangle", "data": [76, 18, 478, 390]}] * 1000
    answer = client.post("/v1/predict", json={"model": name, "image": DATA_URI, "params": {"marks": marks}})
    assert answer.json()["error"]["code"] == "too_many_prompts"
    assert len(made) < 10


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/webhook", f'{{"action": {MANY_LISTS}}}', 201),
        ("/setup", f'{{"project": {MANY_LISTS}}}', 200),
        ("/api/generate", f'{{"model": "sam", "image_embedding": {MANY_LISTS}}}', 400),
        ("/predict", f'{{"tasks": [{{"data": {{"photo": {MANY_LISTS}}}}}]}}', 200),
    ],
)
def test_what_is_never_read_becomes_no_objects(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, path: str, body: str, status: int
) -> None:
    from edge_sam.serve import operations

    decoded: list[Any] = []
    decode = operations.decode_json

    def spy(data: bytes, kind: Any) -> Any:
        decoded.append(decode(data, kind))
        return decoded[-1]

    monkeypatch.setattr(operations, "decode_json", spy)
    assert client.post(path, content=body).status_code == status
    assert len(repr(decoded)) < 1000
