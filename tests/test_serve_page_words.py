"""Words on the page of `edge-sam serve`, in Chromium; see `served_page`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import iou
from PIL import Image
from served import running
from served_page import Clicker, needs_browser
from test_text_proof import LEAST, THRESHOLD, detector
from text_scenes import PLAIN, Scene, draw_scene

from edge_sam.imaging.masks import decode_rle

__all__ = ["detector"]
pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def scene() -> Scene:
    return draw_scene(np.random.default_rng(101))


@pytest.fixture(scope="module")
def photograph(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("scene") / "scene.png"
    Image.fromarray(scene.image).save(file)
    return file


@pytest.fixture(scope="module")
def address(detector: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a server with a matcher listens."""
    options = ("--matcher", str(detector), "--threshold", str(THRESHOLD), "--long-side", "512", "--no-store")
    with running(*options, home=tmp_path_factory.mktemp("home")) as server:
        yield server.address


@needs_browser
def test_words_are_found_with_keys_and_fingers(address: str, chromium: Any, scene: Scene, photograph: Path) -> None:
    phrase = f"a {' '.join(scene.objects[0].kind)}"
    absent = next(each for each in PLAIN if not scene.meant(each))
    context = chromium.new_context(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.set_default_timeout(60_000)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(address)
    page.get_by_text("Open a photograph.").wait_for()
    held: list[Any] = []
    page.route("**/images", lambda route: held.append(route))
    with page.expect_request("**/images"):
        page.set_input_files("#file", photograph)
    page.keyboard.press("/")
    page.keyboard.type(f"{phrase}, {absent}")
    page.keyboard.press("Enter")
    page.get_by_text("Wait until the photograph is encoded.").wait_for()
    held[0].continue_()
    page.unroute("**/images")
    clicker = Clicker(page, photograph)
    page.keyboard.press("/")
    page.keyboard.press("Enter")
    clicker.wait(f"1 found. Click one to keep it; Keep takes all. Nothing fits {absent}.")
    row = page.locator("#found-list button")
    assert row.locator("span").all_inner_texts() == ["", phrase]
    row.tap()
    clicker.wait("1 kept")
    assert row.get_attribute("aria-pressed") == "true"
    coco = json.loads(clicker.saved("save-coco").read_text())
    assert [category["name"] for category in coco["categories"]] == [phrase]
    assert iou(decode_rle(coco["annotations"][0]["segmentation"]), scene.objects[0].mask) >= LEAST
    page.touchscreen.tap(*clicker.at(*np.mean(np.nonzero(scene.objects[0].mask)[::-1], axis=1)))
    clicker.wait("0 kept")
    page.locator("#clear").tap()
    assert page.locator("#found").is_hidden()

    def without_matcher(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "matcher": None})

    page.route("**/model", without_matcher)
    page.reload()
    clicker.wait("Open a photograph")
    assert page.get_attribute("#words", "hidden") is not None
    context.close()
    assert problems == []
