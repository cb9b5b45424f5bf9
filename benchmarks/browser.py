"""Measure examples/browser in Chromium, and compare its masks with ours.

    (cd examples/browser && npm install --ignore-scripts && npm run build)
    python benchmarks/browser.py --threads 1 --threads 2 --native

It needs Chromium, and playwright to drive it. With --json it prints one object for each run. `cpu` figures are
milliseconds of the browser's process that runs the page: on a machine with other work they say more than the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

import edge_sam
from edge_sam import Prompt
from edge_sam.imaging.masks import iou

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parent.parent
PLACE = """([x, y]) => {
  const overlay = document.getElementById('overlay');
  const { left, top, width, height } = overlay.getBoundingClientRect();
  return [left + (x * width) / overlay.width, top + (y * height) / overlay.height];
}"""
"""From a pixel of the photograph to a place on the screen."""
MEASURED = "name => performance.getEntriesByName(name).map(({ duration, detail }) => ({ all: duration, ...detail }))"
SOFTWARE_GPU = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"]


class IsolatedFiles(SimpleHTTPRequestHandler):
    """Files with the headers that threads need."""

    def guess_type(self, path: str | os.PathLike[str]) -> str:
        """Return the type, which not every machine's tables have for modules."""
        return "text/javascript" if str(path).endswith(".mjs") else super().guess_type(path)

    def end_headers(self) -> None:
        """Add the headers."""
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def site(folder: Path) -> Iterator[str]:
    """Serve a folder, and give its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(IsolatedFiles, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def cpu_ms(browser: Browser) -> float:
    """Return the processor time of the processes that run pages, in milliseconds."""
    session = browser.new_browser_cdp_session()
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    return 1000 * sum(float(each["cpuTime"]) for each in processes if each["type"] == "renderer")


def run(browser: Browser, address: str, arguments: argparse.Namespace, threads: int) -> dict[str, Any]:
    """Open the photograph, drag the box again and again, and return times in milliseconds and the IoU with our mask."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.set_default_timeout(600_000)

    def said(start: str) -> str:
        page.wait_for_function(
            "start => document.getElementById('status').innerText.match(`^Failed|^${start}`)", arg=start
        )
        text: str = page.locator("#status").inner_text()
        assert text.startswith(start), text
        return text

    page.goto(f"{address}?device={arguments.device}&threads={threads}")
    started = said("mobile-sam runs")
    before_encodes = cpu_ms(browser)
    for _ in range(arguments.encodes):
        page.set_input_files("#file", [])
        page.set_input_files("#file", arguments.photograph)
        said("Encoding")
        said("Encoded")
    before_clicks = cpu_ms(browser)
    corners = [page.evaluate(PLACE, corner) for corner in (arguments.box[:2], arguments.box[2:])]
    for _ in range(arguments.clicks):
        page.evaluate("document.getElementById('status').innerText = ''")
        page.mouse.move(*corners[0])
        page.mouse.down()
        page.mouse.move(*corners[1])
        page.mouse.up()
        said("Predicted IoU")
    after = cpu_ms(browser)
    with page.expect_download() as download:
        page.click("#save")
    mask = cv2.imread(str(download.value.path()), cv2.IMREAD_GRAYSCALE)
    assert mask is not None
    if arguments.screenshot:
        page.screenshot(path=arguments.screenshot)
    times = {name: page.evaluate(MEASURED, name) for name in ("check", "encode", "decode")}
    isolated = page.evaluate("crossOriginIsolated")
    context.close()
    return {
        "device": arguments.device,
        "threads": threads if isolated else 1,
        "started": started,
        "check_ms": round(times["check"][0].pop("all")),
        "check": times["check"][0],
        "iou": iou(mask > 0, our_mask(arguments.photograph, arguments.box)),
        **{
            f"{stage}_ms": round(statistics.median(each[stage] for each in times[kind]))
            for kind, stage in (("encode", "prepare"), ("encode", "encode"), ("decode", "decode"))
        },
        "encode_cpu": round((before_clicks - before_encodes) / arguments.encodes),
        "click_cpu": round((after - before_clicks) / arguments.clicks),
    }


def native_cpu(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the processor time of the Python package with one thread, in milliseconds."""
    predictor = edge_sam.load("mobile-sam", runtime="onnxruntime", precision="w16", threads=1)
    embedding = predictor.encode(arguments.photograph)
    predictor.predict(embedding, Prompt(box=arguments.box))
    start = time.process_time()
    for _ in range(arguments.encodes):
        predictor.encode(arguments.photograph)
    middle = time.process_time()
    for _ in range(arguments.clicks):
        predictor.predict(embedding, Prompt(box=arguments.box))
    clicks = time.process_time() - middle
    encodes = middle - start
    return {
        "device": "native",
        "threads": 1,
        "encode_cpu": round(1000 * encodes / arguments.encodes),
        "click_cpu": round(1000 * clicks / arguments.clicks),
    }


def our_mask(photograph: str, box: list[float]) -> np.ndarray:
    """Return the mask of the Python package."""
    predictor = edge_sam.load("mobile-sam", runtime="onnxruntime", precision="w16")
    mask: np.ndarray = predictor.predict(predictor.encode(photograph), Prompt(box=box), multimask=False).masks[0]
    return mask


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photograph", default=str(ROOT / "examples" / "photographs" / "coffee.png"))
    parser.add_argument("--box", default="76,18,478,390", type=lambda text: [float(each) for each in text.split(",")])
    parser.add_argument("--device", choices=["wasm", "webgpu"], default="wasm")
    parser.add_argument("--threads", type=int, action="append")
    parser.add_argument("--encodes", type=int, default=3)
    parser.add_argument("--clicks", type=int, default=20)
    parser.add_argument("--site", type=Path, default=ROOT / "examples" / "browser" / "dist")
    parser.add_argument("--screenshot", type=Path)
    parser.add_argument("--native", action="store_true", help="measure the Python package too")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    from playwright.sync_api import sync_playwright

    gpu = SOFTWARE_GPU if arguments.device == "webgpu" else []
    with site(arguments.site) as address, sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", *gpu], downloads_path=folder
        )
        for threads in arguments.threads or [1]:
            result = run(browser, address, arguments, threads)
            print(json.dumps(result) if arguments.json else "  ".join(f"{k} {v}" for k, v in result.items()))
        browser.close()
    if arguments.native:
        print(json.dumps(native_cpu(arguments)))


main()
