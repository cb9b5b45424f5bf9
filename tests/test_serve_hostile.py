"""Requests that are wrong or hostile: each is refused in one line, and the server goes on."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from served import COFFEE, CUP, DEEP, check_error, client_of, upload
from starlette.testclient import TestClient

from edge_sam.predictor import Predictor


@pytest.fixture(scope="module")
def client(predictor: Predictor) -> Iterator[TestClient]:
    with client_of(predictor, max_prompts=4, max_body_mb=1, max_megapixels=0.5) as made:
        yield made


@pytest.fixture(scope="module")
def cup(client: TestClient) -> str:
    return upload(client)


def picture_header(width: int, height: int) -> bytes:
    """A PNG that promises many pixels and is a few bytes long."""
    body = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", body), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    packed = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def text_bomb() -> bytes:
    """A small PNG with a text of 50 MB."""
    data = b"Comment\0\0" + zlib.compress(bytes(50_000_000))
    chunk = struct.pack(">I", len(data)) + b"zTXt" + data + struct.pack(">I", zlib.crc32(b"zTXt" + data))
    plain = picture_header(8, 8)
    return plain[:33] + chunk + plain[33:]


BAD_PROMPTS: list[tuple[Any, int]] = [
    ({}, 422),
    ([], 422),
    ("text", 422),
    ({"prompts": []}, 422),
    ({"prompts": [{}]}, 422),
    ({"prompts": [{"points": []}]}, 422),
    ({"prompts": [{"points": [[1, 2, 3]]}]}, 422),
    ({"prompts": [{"points": [["1", "2"]]}]}, 422),
    ({"prompts": [{"points": [[1, None]]}]}, 422),
    ({"prompts": [{"points": [[-1, 5]]}]}, 422),
    ({"prompts": [{"points": [[1e300, 5]]}]}, 422),
    ({"prompts": [{"points": [[5, 5]], "labels": [7]}]}, 422),
    ({"prompts": [{"points": [[5, 5]], "labels": [1, 1]}]}, 422),
    ({"prompts": [{"labels": [1]}]}, 422),
    ({"prompts": [{"points": [[5, 5]] * 1001}]}, 422),
    ({"prompts": [{"box": [5, 5, 5, 5]}]}, 422),
    ({"prompts": [{"box": [9, 9, 5]}]}, 422),
    ({"prompts": [{"box": [700, 500, 900, 900]}]}, 422),
    ({"prompts": [{"mask": "!"}]}, 422),
    ({"prompts": [{"mask": "AAAA"}]}, 422),
    ({"prompts": [{"mask": base64.b64encode(b"\xff" * 256 * 256 * 4).decode()}]}, 422),
    ({"prompts": [{"box": CUP}] * 5}, 413),
    ({"prompts": [{"box": CUP}], "multimask": "yes"}, 422),
    ({"prompts": [{"box": CUP}], "prefer": "worst"}, 422),
    ({"prompts": [{"box": CUP}], "format": "tiff"}, 422),
    ({"prompts": [{"box": CUP}], "unknown": 1}, 422),
    ({"prompts": [{"box": CUP, "__class__": "x"}]}, 422),
]
BAD_BODIES: list[tuple[str | bytes, int]] = [
    ("", 400),
    ("{", 400),
    ("\0", 400),
    ("null", 422),
    (DEEP, 422),
    ('{"prompts": ' + DEEP, 422),
    ('{"prompts": [{"mask": ' + DEEP, 422),
    (b"\xff\xfe{}", 400),
    ('{"prompts": [{"points": [[NaN, 1]]}]}', 400),
    ('{"prompts": [{"points": [[1e999, 1]]}]}', 422),
    ('{"prompts": "\ud800"}'.encode("utf-8", "surrogatepass"), 422),
    (b"{" + b" " * 1_000_001, 413),
]
BAD_SETTINGS: list[tuple[Any, int]] = [
    ([], 422),
    ({"points_per_side": 0}, 422),
    ({"points_per_side": 10**9}, 422),
    ({"points_per_side": None}, 422),
    ({"points_per_side": "4"}, 422),
    ({"points_per_batch": 1024}, 422),
    ({"pred_iou_thresh": -1}, 422),
    ({"crop_n_layers": 99}, 422),
    ({"long_side": 100}, 422),
    ({"point_grids": [[[0, 0]]]}, 422),
    ({"predictor": 1}, 422),
]
BAD_PHOTOGRAPHS: list[tuple[bytes, dict[str, str], int]] = [
    (b"", {}, 415),
    (b"hello", {}, 415),
    (COFFEE[:1000], {}, 415),
    (COFFEE[: len(COFFEE) // 2], {}, 415),
    (bytes(1_000_001), {}, 413),
    (picture_header(60_000, 60_000), {}, 413),
    (picture_header(2**31 - 1, 2**31 - 1), {}, 413),
    (picture_header(0, 5), {}, 415),
    (text_bomb(), {}, 415),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", {}, 415),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", {"Content-Type": "image/svg+xml"}, 415),
    (COFFEE, {"Content-Type": "text/html"}, 415),
    (COFFEE, {"Content-Type": "multipart/form-data"}, 400),
    (COFFEE, {"Content-Type": "multipart/form-data; boundary=x"}, 400),
    (b"--x\r\n\r\n--x--\r\n", {"Content-Type": "multipart/form-data; boundary=x"}, 400),
    (b"--x\r\nContent-Disposition: form-data; name=image\r\n\r\ntext\r\n--x--\r\n",
     {"Content-Type": "multipart/form-data; boundary=x"}, 400),
    (b"--x\r\n" * 100_000, {"Content-Type": "multipart/form-data; boundary=x"}, 400),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status"), BAD_PROMPTS)
def test_bad_prompts(client: TestClient, cup: str, body: Any, status: int) -> None:
    check_error(client.post(f"/images/{cup}/masks", json=body), status)


@pytest.mark.parametrize(("body", "status"), BAD_BODIES)
def test_bad_json(client: TestClient, cup: str, body: str | bytes, status: int) -> None:
    check_error(client.post(f"/images/{cup}/masks", content=body), status)
    unknown = isinstance(body, str) and body.startswith('{"prompts"')  # Refused for that name, whatever follows.
    check_error(client.post(f"/images/{cup}/everything", content=body), 422 if unknown else status)


@pytest.mark.parametrize(("body", "status"), BAD_SETTINGS)
def test_bad_settings(client: TestClient, cup: str, body: Any, status: int) -> None:
    check_error(client.post(f"/images/{cup}/everything", json=body), status)


@pytest.mark.parametrize(("body", "headers", "status"), BAD_PHOTOGRAPHS)
def test_bad_photographs(client: TestClient, body: bytes, headers: dict[str, str], status: int) -> None:
    check_error(client.post("/images", content=body, headers=headers), status)


@pytest.mark.parametrize("query", ["long_side=0", "long_side=x", "long_side=99999999999999999999", "square=maybe",
                                   "unknown=1", "long_side=512&long_side=256"])  # fmt: skip
def test_bad_queries(client: TestClient, query: str) -> None:
    check_error(client.post(f"/images?{query}", content=COFFEE), 422)


@pytest.mark.parametrize(
    "path",
    ["/images/..%2f..%2fetc%2fpasswd/embedding", "/images/%00/embedding", f"/images/{'a' * 4000}/embedding",
     "/page/..%2f__init__.py", "/page/%2e%2e/__init__.py", "/page//etc/passwd", "/page/", "/nothing",
     "/images/ä/embedding", "/images/*/embedding"],
)  # fmt: skip
def test_bad_paths(client: TestClient, path: str) -> None:
    check_error(client.get(path), 404)


def test_bad_methods(client: TestClient) -> None:
    answer = client.delete("/images")
    check_error(answer, 405)
    assert answer.headers["allow"] == "POST"


def test_chunks_beyond_the_limit_are_refused(client: TestClient) -> None:
    """A body without a declared length."""
    check_error(client.post("/images", content=(bytes(100_000) for _ in range(20))), 413)
