"""Masks of examples/javascript/index.html: python with_browser.py LAYOUT ENCODER DECODER CASES OUTPUT. Layout sam.

Run it where onnxruntime-web is installed. It needs Chromium, and playwright to drive it.
"""

from __future__ import annotations

import base64
import json
import shutil
import sys
import tempfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import cv2
import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

PAGE = Path(__file__).parent.parent.parent / "examples" / "javascript" / "index.html"
READ_MASK = """canvas => {
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  let text = '';
  for (let i = 3; i < data.length; i += 4) text += data[i] ? '\\x01' : '\\x00';
  return [canvas.height, canvas.width, btoa(text)];
}"""


class Files(SimpleHTTPRequestHandler):
    """The page's files, served without a line for each request."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def point_at(page: Page, points: list[list[float]], box: list[float] | None) -> None:
    """Click on the points, or drag the box."""
    place = page.locator("#mask").bounding_box()
    assert place
    for i, (x, y) in enumerate(points):
        page.locator("#mask").click(position={"x": x, "y": y}, modifiers=["Shift"] if i else [])
    if box:
        page.mouse.move(place["x"] + box[0], place["y"] + box[1])
        page.mouse.down()
        page.mouse.move(place["x"] + box[2], place["y"] + box[3])
        page.mouse.up()


def said(page: Page, start: str) -> None:
    """Wait until the page says something that starts so, and fail if it says that it failed."""
    page.wait_for_function("start => document.getElementById('status').innerText.match(`^Failed|^${start}`)", arg=start)
    text = page.locator("#status").inner_text()
    assert text.startswith(start), text


def main(_layout: str, encoder: str, decoder: str, cases: str, output: str) -> None:
    """Write one mask for each case, of the size of its photograph, and a picture of the page."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        site = Path(folder)
        (site / "sam").mkdir()
        shutil.copy(PAGE, site)
        for file, name in ((encoder, "encoder"), (decoder, "decoder")):
            (site / "sam" / f"mobile-sam.{name}.onnx").symlink_to(file)
        (site / "node_modules").symlink_to(Path("node_modules").resolve())
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=folder))
        Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1100, "height": 1200})
        page.set_default_timeout(60_000)
        page.goto(f"http://127.0.0.1:{server.server_port}/index.html")
        said(page, "Choose a picture")
        shown = ""
        for i, case in enumerate(json.loads(Path(cases).read_text())):
            if case["image"] != shown:
                shown = case["image"]
                page.set_input_files("#file", shown)
                said(page, "Ready")
            width, height = Image.open(case["image"]).size
            scale = 1024 / max(height, width)
            scaled = [[scale * x, scale * y] for x, y in case["points"]]
            point_at(page, scaled, [scale * each for each in case["box"] or []])
            said(page, "Predicted IoU")
            rows, columns, text = page.eval_on_selector("#mask", READ_MASK)
            mask = np.frombuffer(base64.b64decode(text), np.uint8).reshape(rows, columns)
            np.save(f"{output}/{i}.npy", cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST) > 0)
            page.screenshot(path=f"{output}/{i}.png")
        browser.close()
        server.shutdown()


main(*sys.argv[1:])
