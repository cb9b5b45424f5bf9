"""Decoding in the browser, on the page of `edge-sam serve`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import iou
from numpy.typing import NDArray
from served_page import POINT, Clicker, needs_browser, web_runtime

from edge_sam.imaging.masks import decode_rle


@needs_browser
@pytest.mark.skipif(web_runtime() is None, reason="no onnxruntime-web on NODE_PATH or beside examples/browser")
def test_the_server_decodes_when_the_switch_is_off_again_or_the_worker_fails(clicker: Clicker) -> None:
    switch = clicker.page.locator("#local-switch")
    graphs: list[Any] = []
    clicker.page.route("**/model/decoder.onnx", lambda route: graphs.append(route))
    switch.check()
    clicker.page.wait_for_function("() => document.getElementById('status').textContent.startsWith('Loading')")
    switch.uncheck()
    switch.check()
    switch.uncheck()
    clicker.wait("The server decodes")
    (graph,) = graphs
    graph.continue_()
    clicker.page.unroute("**/model/decoder.onnx")
    with clicker.asking():
        clicker.click(*POINT)
    clicker.page.keyboard.press("Escape")
    clicker.page.route("**/embedding?*", lambda route: route.fulfill(body=b"damaged"))
    switch.check()
    clicker.wait("This browser decodes")
    with clicker.asking():
        clicker.click(*POINT)
    assert not switch.is_checked()


@needs_browser
@pytest.mark.skipif(web_runtime() is None, reason="no onnxruntime-web on NODE_PATH or beside examples/browser")
def test_decoding_in_the_browser_gives_the_same_mask(
    clicker: Clicker, of_command_line: Callable[..., NDArray[np.bool_]]
) -> None:
    clicker.page.locator("#local-switch").check()
    clicker.wait("This browser decodes")
    asked: list[str] = []
    clicker.page.on("request", lambda request: asked.append(request.url))
    clicker.click(*POINT)
    x, y = (each + 0.5 for each in POINT)
    assert iou(clicker.mask(), of_command_line("--point", f"{x},{y}")) >= 0.99
    assert not any(url.endswith("/masks") for url in asked)
    coco = json.loads(clicker.saved("save-coco").read_text())
    (annotation,) = coco["annotations"]
    assert np.array_equal(decode_rle(annotation["segmentation"]), clicker.mask())
