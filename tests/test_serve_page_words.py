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
def test_words_are_typed_found_and_kept(address: str, chromium: Any, scene: Scene, photograph: Path) -> None:
    phrase = f"a {' '.join(scene.objects[0].kind)}"
    absent = next(each for each in PLAIN if not scene.meant(each))
    page = chromium.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(address)
    clicker = Clicker(page, photograph)
    page.keyboard.press("/")
    page.keyboard.type(f"{phrase}, {absent}")
    page.keyboard.press("Enter")
    clicker.wait(f"1 found. Click one to keep it; Keep takes all. Nothing fits {absent}.")
    assert page.locator("#found-list span:nth-child(2)").all_inner_texts() == [phrase]
    page.click("#found-list button")
    clicker.wait("1 kept")
    assert page.get_attribute("#found-list button", "aria-pressed") == "true"
    coco = json.loads(clicker.saved("save-coco").read_text())
    assert [category["name"] for category in coco["categories"]] == [phrase]
    assert iou(decode_rle(coco["annotations"][0]["segmentation"]), scene.objects[0].mask) >= LEAST
    page.keyboard.press("Escape")
    assert page.locator("#found").is_hidden()
    page.keyboard.press("/")
    page.keyboard.type(absent)
    page.keyboard.press("Enter")
    clicker.wait(f"Nothing fits {absent}.")
    page.close()
    assert problems == []


@needs_browser
def test_fingers_find_words_too_and_a_server_without_a_matcher_has_no_field(
    address: str, chromium: Any, scene: Scene, photograph: Path
) -> None:
    context = chromium.new_context(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(address)
    finger = Clicker(page, photograph)
    page.locator("#words-text").tap()
    page.keyboard.type(f"a {' '.join(scene.objects[0].kind)}")
    page.locator("#words button").tap()
    finger.wait("1 found")
    page.touchscreen.tap(*finger.at(*np.mean(np.nonzero(scene.objects[0].mask)[::-1], axis=1)))
    finger.wait("1 kept")

    def without_matcher(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "matcher": None})

    page.route("**/model", without_matcher)
    page.reload()
    Clicker(page, photograph)
    assert page.locator("#words").is_hidden()
    context.close()
