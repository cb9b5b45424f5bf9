"""Clicks on the page of `edge-sam serve`: real clicks on a real photograph. Skipped where there is no Chromium."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, iou
from numpy.typing import NDArray
from served_page import BOX, POINT, Clicker, needs_browser

PAGE = ROOT / "edge_sam" / "serve" / "page"


@needs_browser
def test_a_click_and_a_box_give_the_masks_of_the_command_line(
    clicker: Clicker, of_command_line: Callable[..., NDArray[np.bool_]]
) -> None:
    with clicker.asking() as sent:
        clicker.click(*POINT)
    ((x, y),) = sent.value.post_data_json["prompts"][0]["points"]
    assert (x, y) == pytest.approx((POINT[0] + 0.5, POINT[1] + 0.5), abs=1)
    by_click = clicker.mask()
    assert iou(by_click, of_command_line("--point", f"{x},{y}")) >= 0.99

    clicker.page.keyboard.press("Escape")
    with clicker.asking() as sent:
        clicker.drag(*BOX)
    box = sent.value.post_data_json["prompts"][0]["box"]
    assert box == pytest.approx([each + 0.5 for each in BOX], abs=1)
    by_box = clicker.mask()
    assert iou(by_box, of_command_line("--box", ",".join(map(str, box)))) >= 0.99


@needs_browser
def test_the_keyboard_alone_is_enough(clicker: Clicker) -> None:
    keyboard = clicker.page.keyboard
    for key in ("ArrowLeft", "ArrowRight", "Enter"):
        keyboard.press(key)
    clicker.wait("Mask")
    first = clicker.mask()
    keyboard.press("3")
    clicker.wait("Mask 3")
    assert iou(clicker.mask(), first) < 0.99
    keyboard.press("k")
    clicker.wait("1 kept")
    keyboard.press("Control+z")
    clicker.wait("Mask")
    assert clicker.page.locator("#objects li").count() == 0
    assert iou(clicker.mask(), first) == 1
    keyboard.press("Control+Shift+Z")
    assert clicker.page.locator("#objects li").count() == 1
    keyboard.press("?")
    assert clicker.page.locator("#help").is_visible()


@needs_browser
def test_a_finger_taps_and_presses_long(page_address: str, chromium: Any) -> None:
    context = chromium.new_context(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(page_address)
    finger = Clicker(page)
    page.touchscreen.tap(*finger.at(*POINT))
    finger.wait("Mask")
    touch = {"x": finger.at(30, 30)[0], "y": finger.at(30, 30)[1]}
    devtools = context.new_cdp_session(page)
    with finger.asking() as sent:
        devtools.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [touch]})
        page.wait_for_timeout(700)
        devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert sent.value.post_data_json["prompts"][0]["labels"] == [1, 0]
    context.close()


@needs_browser
def test_everything_streams_in_and_a_click_keeps_one(clicker: Clicker) -> None:
    fewer = json.dumps({"points_per_side": 6})
    clicker.page.route("**/everything", lambda route: route.continue_(post_data=fewer))
    clicker.page.keyboard.press("e")
    clicker.page.wait_for_function("() => document.getElementById('status').textContent.includes('Click one to keep')")
    clicker.page.mouse.click(*clicker.at(*POINT))
    clicker.wait("1 kept")
    assert clicker.mask()[POINT[1], POINT[0]]
    clicker.page.keyboard.press("Escape")
    assert clicker.page.get_attribute("#everything", "aria-pressed") == "false"


def test_every_file_is_used_and_none_comes_from_elsewhere() -> None:
    files = [path for path in PAGE.rglob("*") if path.is_file()]
    text = {path: path.read_text("utf-8") for path in files}
    for path, content in text.items():
        assert len(content.splitlines()) <= 300, path
        assert "http://" not in content.replace("http://www.w3.org/", ""), path
        assert "https://" not in content, path
        others = "".join(each for other, each in text.items() if other != path)
        assert path.name in others or path.name == "index.html", f"{path} is not used"
