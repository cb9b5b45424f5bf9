"""What the page of `edge-sam serve` says and does where something fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from conftest import iou
from served import running
from served_page import POINT, Clicker, needs_browser


@needs_browser
def test_errors_are_shown_and_mended(clicker: Clicker, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"no picture")
    clicker.page.set_input_files("#file", damaged)
    clicker.page.get_by_text("cannot show damaged.png").wait_for()
    clicker.page.click("#failure button")
    gone = {"error": {"code": "unknown_image", "message": "gone"}, "request_id": "1"}
    refused: list[str] = []

    def refuse_one_click(route: Any) -> None:
        if refused or '"multimask":true' not in route.request.post_data:
            route.continue_()
        else:
            refused.append(route.request.url)
            route.fulfill(status=404, json=gone)

    clicker.page.route("**/images/*/masks", refuse_one_click)
    with clicker.page.expect_request("**/images"):  # It sends the photograph again.
        clicker.page.mouse.click(*clicker.at(*POINT))
    clicker.wait("Mask")


@needs_browser
def test_a_prompt_without_an_answer_has_no_mask(clicker: Clicker) -> None:
    clicker.click(*POINT)
    first = clicker.mask()
    refused = {"error": {"code": "invalid_input", "message": "refused"}, "request_id": "1"}
    clicker.page.route("**/images/*/masks", lambda route: route.fulfill(status=422, json=refused))
    clicker.page.mouse.click(*clicker.at(40, 40))
    clicker.page.get_by_text("Refused").wait_for()
    assert clicker.page.locator("#save-mask").is_disabled()
    clicker.page.keyboard.press("k")
    assert clicker.page.locator("#objects li").count() == 0
    clicker.page.unroute("**/images/*/masks")
    clicker.page.keyboard.press("Control+z")
    assert iou(clicker.mask(), first) == 1
    searched: list[str] = []

    def refuse_one_search(route: Any) -> None:
        searched.append(route.request.url)
        if len(searched) == 1:
            gone = {"error": {"code": "unknown_image", "message": "gone"}, "request_id": "1"}
            route.fulfill(status=404, json=gone)
        else:
            route.continue_(post_data='{"points_per_side": 3}')

    clicker.page.route("**/everything", refuse_one_search)
    clicker.page.keyboard.press("e")
    clicker.page.wait_for_function("() => document.getElementById('status').textContent.includes('Click one to keep')")
    clicker.page.keyboard.press("Control+z")  # The prompt is back, so everything mode ends.
    assert clicker.page.get_attribute("#everything", "aria-pressed") == "false"
    assert iou(clicker.mask(), first) == 1


@needs_browser
def test_a_wrong_key_is_told(chromium: Any, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("right")
    with running("--no-store", "--api-key-file", str(file), home=tmp_path) as server:
        page = chromium.new_page()
        page.goto(server.address)
        page.fill("#key-value", "wrong")
        page.keyboard.press("Enter")
        page.get_by_text("That key is wrong.").wait_for()
        page.fill("#key-value", "right")
        page.keyboard.press("Enter")
        page.get_by_text("Open a photograph.").first.wait_for()
        page.reload()
        page.locator("#key-value").wait_for()
        page.keyboard.press("Escape")
        page.get_by_text("Reload the page to give it.").wait_for()
        assert not page.locator("#key-value").is_visible()
        page.close()
