"""The page of `edge-sam serve` in Chromium: real clicks on a real photograph. Skipped where there is no Chromium."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from command_line import run_here
from conftest import PHOTOGRAPHS, ROOT, iou, read_pixels
from numpy.typing import NDArray
from served import running

from edge_sam.imaging.masks import decode_rle

PAGE = ROOT / "edge_sam" / "serve" / "page"
PHOTOGRAPH = PHOTOGRAPHS / "chelsea.png"
POINT, BOX = (225, 150), (60, 30, 400, 290)
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(
    not (CHROMIUM and find_spec("playwright") and find_spec("starlette") and find_spec("uvicorn")),
    reason="no Chromium, no playwright, or not the extra serve",
)
PLACE_OF_PHOTOGRAPH = """canvas => {
  const { width, height } = canvas;
  const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (let i = 3, at = 0; i < data.length; i += 4, at += 1) {
    if (data[i] < 128) continue;
    const [x, y] = [at % width, Math.floor(at / width)];
    [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x + 1), Math.max(bottom, y + 1)];
  }
  return [left, top, right, bottom].map((edge) => edge / devicePixelRatio);
}"""


def web_runtime() -> Path | None:
    """Return the folder of onnxruntime-web that NODE_PATH has, or the one beside the example."""
    folders = [each for each in os.environ.get("NODE_PATH", "").split(os.pathsep) if each]
    places = [*map(Path, folders), ROOT / "examples" / "browser" / "node_modules"]
    return next((place / "onnxruntime-web" for place in places if (place / "onnxruntime-web" / "dist").is_dir()), None)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a server listens."""
    runtime = web_runtime()
    command = [sys.executable, "-m", "edge_sam", "serve", "--port", "0", "--no-store"]
    command += ["--browser-runtime", str(runtime)] if runtime else []
    log = tmp_path_factory.mktemp("serve") / "log"
    with log.open("wb") as written, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=written) as server:
        assert server.stdout
        line = server.stdout.readline().decode()
        assert line.startswith("listening on "), log.read_text()
        yield line.split()[-1]
        server.terminate()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


class Clicker:
    """A page with the photograph open, used as a person uses it."""

    def __init__(self, page: Any, photograph: Path = PHOTOGRAPH) -> None:
        self.page = page
        page.set_input_files("#file", photograph)
        self.wait("Ready")
        left, top, right, _ = page.eval_on_selector("#photograph", PLACE_OF_PHOTOGRAPH)
        width = read_pixels(photograph).shape[1]
        stage = page.locator("#overlay").bounding_box()
        self.scale = (right - left) / width
        self.origin = (stage["x"] + left, stage["y"] + top)

    def wait(self, start: str) -> None:
        """Wait until the page's status starts so."""
        self.page.wait_for_function(
            "start => document.getElementById('status').textContent.startsWith(start)", arg=start
        )

    def asking(self) -> Any:
        """Expect a request for three masks, as a click makes it; a preview wants one."""
        return self.page.expect_request(lambda request: '"multimask":true' in (request.post_data or ""))

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the place on the screen of a pixel of the photograph."""
        return self.origin[0] + (x + 0.5) * self.scale, self.origin[1] + (y + 0.5) * self.scale

    def click(self, x: float, y: float, **options: Any) -> None:
        self.page.mouse.click(*self.at(x, y), **options)
        self.wait("Mask")

    def drag(self, x0: float, y0: float, x1: float, y1: float) -> None:
        self.page.mouse.move(*self.at(x0, y0))
        self.page.mouse.down()
        self.page.mouse.move(*self.at((x0 + x1) / 2, (y0 + y1) / 2))
        self.page.mouse.move(*self.at(x1, y1))
        self.page.mouse.up()
        self.wait("Mask")

    def saved(self, button: str) -> Path:
        """Press a button that saves, and return the file."""
        with self.page.expect_download() as download:
            self.page.click(f"#{button}")
        return Path(download.value.path())

    def mask(self) -> NDArray[np.bool_]:
        return read_pixels(self.saved("save-mask"))[..., 0] > 0


@pytest.fixture
def clicker(address: str, browser: Any) -> Iterator[Clicker]:
    """A page that fails its test if it writes errors or asks another server."""
    context = browser.new_context(viewport={"width": 1200, "height": 800})
    page = context.new_page()
    page.set_default_timeout(60_000)
    problems: list[str] = []
    allowed = "Failed to load resource"  # Where a test has the server refuse.

    def listen(message: Any) -> None:
        if message.type == "error" and allowed not in message.text:
            problems.append(message.text)

    page.on("console", listen)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith((address, "blob:", "data:")) else problems.append(r.url))
    page.goto(address)
    yield Clicker(page)
    context.close()
    assert problems == []


@pytest.fixture(scope="module")
def of_command_line(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., NDArray[np.bool_]]:
    """Return the mask that `edge-sam segment` writes for a prompt."""

    def segment(*prompt: str) -> NDArray[np.bool_]:
        folder = tmp_path_factory.mktemp("segment")
        done = run_here("segment", PHOTOGRAPH, *prompt, "--output", folder, cwd=folder)
        assert done.returncode == 0, done.stderr
        (mask,) = folder.glob("*mask*.png")
        return read_pixels(mask) > 0

    return segment


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
def test_files_hold_every_object(clicker: Clicker) -> None:
    clicker.click(*POINT)
    clicker.page.click("#keep")
    clicker.page.fill("#objects input", "cat")
    clicker.page.keyboard.press("Tab")
    clicker.click(40, 40)
    clicker.page.mouse.click(*clicker.at(225, 150), button="right")
    clicker.wait("Mask")
    both = clicker.mask()
    coco = json.loads(clicker.saved("save-coco").read_text())
    masks = [decode_rle(each["segmentation"]) for each in coco["annotations"]]
    assert [each["name"] for each in coco["categories"]] == ["cat", "object"]
    assert np.array_equal(masks[0] | masks[1], both)
    for mask, annotation in zip(masks, coco["annotations"], strict=True):
        assert annotation["area"] == mask.sum()
        assert annotation["bbox"] == list(cv2.boundingRect(mask.view(np.uint8)))
    cut_out = read_pixels(clicker.saved("save-cutout"))
    x, y, width, height = cv2.boundingRect(both.view(np.uint8))
    assert np.array_equal(cut_out[..., 3] > 0, both[y : y + height, x : x + width])
    drawn = ElementTree.parse(clicker.saved("save-svg")).getroot()
    paths = drawn.findall("{http://www.w3.org/2000/svg}path")
    assert np.array_equal(_filled(paths[0].attrib["d"], masks[0].shape), masks[0])


def _filled(path: str, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Fill the rings of a path by the rule even-odd: a pixel is inside after an odd number of edges on its left."""
    crossed = np.zeros((size[0], size[1] + 1), dtype=np.int64)
    for ring in path.strip("MZ").split("ZM"):
        corners = [tuple(map(int, corner.split())) for corner in ring.split("L")]
        for (x, top), (other, bottom) in zip(corners, [*corners[1:], corners[0]], strict=True):
            if x == other:
                crossed[min(top, bottom) : max(top, bottom), x] += 1
    return np.asarray(crossed.cumsum(axis=1)[:, :-1] % 2 == 1)


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


@needs_browser
def test_a_finger_taps_and_presses_long(address: str, browser: Any) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(address)
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
    clicker.page.route("**/everything", lambda route: route.continue_(post_data='{"points_per_side": 3}'))
    clicker.page.keyboard.press("e")
    clicker.page.wait_for_function("() => document.getElementById('status').textContent.includes('Click one to keep')")
    clicker.page.keyboard.press("Control+z")  # The prompt is back, so everything mode ends.
    assert clicker.page.get_attribute("#everything", "aria-pressed") == "false"
    assert iou(clicker.mask(), first) == 1


@needs_browser
def test_a_wrong_key_is_told(browser: Any, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("right")
    with running("--no-store", "--api-key-file", str(file), home=tmp_path) as server:
        page = browser.new_page()
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


def test_every_file_is_used_and_none_comes_from_elsewhere() -> None:
    files = [path for path in PAGE.rglob("*") if path.is_file()]
    text = {path: path.read_text("utf-8") for path in files}
    for path, content in text.items():
        assert len(content.splitlines()) <= 300, path
        assert "http://" not in content.replace("http://www.w3.org/", ""), path
        assert "https://" not in content, path
        others = "".join(each for other, each in text.items() if other != path)
        assert path.name in others or path.name == "index.html", f"{path} is not used"
