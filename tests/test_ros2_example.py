"""The logic of the ROS 2 example, without ROS and with the real model."""

from __future__ import annotations

import ast
import sys
import threading
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from streams import CUP, scene

import edge_sam

EXAMPLE = ROOT / "examples" / "ros2" / "edge_sam_node"
DAMAGED: tuple[tuple[Any, ...], ...] = (
    (b"", 0, 0, 0, "rgb8"),
    (b"", 0, 4, 12, "bgr8"),
    (b"\0" * 48, 4, 0, 12, "mono8"),
    (b"\0" * 48, -4, 4, 12, "rgb8"),
    (b"\0" * 48, 4, -4, 12, "rgb8"),
    (b"\0" * 48, 4, 4, -12, "rgb8"),
    (b"\0" * 48, 4, 4, 0, "rgb8"),
    (b"\0" * 48, 4, 4, 11, "bgra8"),
    (b"\0" * 47, 4, 4, 12, "bgr8"),
    (b"\0" * 48, 4, 4, 12, "yuv422"),
    (b"\0" * 48, 4, 4, 12, ""),
)
"""Data, height, width, step and encoding of images that are none."""


def send(node: Any, frame: np.ndarray, name: str) -> None:
    height, width = frame.shape[:2]
    node.receive(np.ascontiguousarray(frame).tobytes(), height, width, 3 * width, "bgr8", name)


@pytest.fixture(scope="module")
def bridge() -> Any:
    sys.path.insert(0, str(EXAMPLE))
    try:
        from edge_sam_node import bridge  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(EXAMPLE))
    return bridge


def test_images_to_masks_and_boxes(bridge: Any, coffee: np.ndarray, predictor: edge_sam.Predictor) -> None:
    published: list[Any] = []
    arrived = threading.Event()

    def publish(*answer: object) -> None:
        published.append(answer)
        arrived.set()

    node = bridge.Bridge(publish, predictor, long_side=256)
    node.prompt(bridge.to_prompts([], [], CUP))
    for i, frame in enumerate(scene(coffee, 3)):
        arrived.clear()
        send(node, frame, f"stamp {i}")
        assert arrived.wait(60)
        for damaged in DAMAGED:  # One bad image costs one image.
            with pytest.raises(edge_sam.InputError):
                node.receive(*damaged, "damaged")
        with pytest.raises(edge_sam.InputError, match="no pixels"):
            node.push(np.zeros((0, 4, 3), np.uint8), "empty")
    told = node.close()
    assert "0 dropped" in told
    assert f"{3 * (len(DAMAGED) + 1)} corrupt" in told
    assert node.error is None
    assert [name for name, _, _ in published] == ["stamp 0", "stamp 1", "stamp 2"]
    for _, labels, ((number, score, (x, y, width, height)),) in published:
        rows, columns = np.nonzero(labels == 255)
        assert labels.shape == (128, 192)
        assert number == 0
        assert 0.5 < score <= 1
        assert (x - width / 2, y - height / 2) == (columns.min(), rows.min())
        assert (x + width / 2, y + height / 2) == (columns.max() + 1, rows.max() + 1)


@pytest.mark.parametrize(("encoding", "channels"), [("rgb8", 3), ("bgr8", 3), ("rgba8", 4), ("bgra8", 4), ("mono8", 1)])
def test_encodings(bridge: Any, encoding: str, channels: int) -> None:
    # Two rows of three pixels, each row filled up to 16 bytes.
    pixels = np.arange(6 * channels, dtype=np.uint8).reshape(2, 3, channels)
    data = np.pad(pixels.reshape(2, -1), ((0, 0), (0, 16 - 3 * channels)), constant_values=99).tobytes()
    image = bridge.to_rgb(data, 2, 3, 16, encoding)
    order = {"rgb8": [0, 1, 2], "bgr8": [2, 1, 0], "rgba8": [0, 1, 2], "bgra8": [2, 1, 0], "mono8": [0, 0, 0]}[encoding]
    assert (image == pixels[..., order]).all()
    with pytest.raises(edge_sam.InputError, match="too few"):
        bridge.to_rgb(data[:-1], 2, 3, 16, encoding)


def test_requests(bridge: Any) -> None:
    with pytest.raises(edge_sam.InputError, match="unknown encoding 'yuv422'"):
        bridge.to_rgb(b"", 1, 1, 3, "yuv422")
    assert bridge.to_prompts([], [], []) == []
    assert len(bridge.to_prompts([], [], [0, 0, 5, 5, 1, 1, 9, 9])) == 2
    (both,) = bridge.to_prompts([1, 2, 3, 4], [1, 0], [0, 0, 5, 5])
    assert both.points.tolist() == [[1, 2], [3, 4]]
    assert both.labels.tolist() == [1, 0]
    wrongs: tuple[Any, ...] = (([1], [], []), ([], [], [1, 2, 3]), ([1, 2], [], [0, 0, 5, 5, 1, 1, 9, 9]))
    for wrong in wrongs:
        with pytest.raises(edge_sam.InputError):
            bridge.to_prompts(*wrong)


def test_the_node_has_no_logic_of_its_own() -> None:
    tree = ast.parse((EXAMPLE / "edge_sam_node" / "node.py").read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    ours = {name for name in imported if name and name.startswith("edge_sam") and "interfaces" not in name}
    assert ours == {"edge_sam", "edge_sam_node.bridge"}
