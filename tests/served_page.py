"""The page of `edge-sam serve` in Chromium, used as a person uses it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PHOTOGRAPHS, ROOT, read_pixels
from numpy.typing import NDArray

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


@pytest.fixture(scope="session")
def page_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
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
def chromium() -> Iterator[Any]:
    """A browser. It goes after each file: while it runs, asyncio cannot run in this thread."""
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
def clicker(page_address: str, chromium: Any) -> Iterator[Clicker]:
    """A page that fails its test if it writes errors or asks another server."""
    context = chromium.new_context(viewport={"width": 1200, "height": 800})
    page = context.new_page()
    page.set_default_timeout(60_000)
    problems: list[str] = []
    allowed = "Failed to load resource"  # Where a test has the server refuse.

    def listen(message: Any) -> None:
        if message.type == "error" and allowed not in message.text:
            problems.append(message.text)

    page.on("console", listen)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith((page_address, "blob:", "data:")) else problems.append(r.url))
    page.goto(page_address)
    yield Clicker(page)
    context.close()
    assert problems == []


@pytest.fixture(scope="session")
def of_command_line(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., NDArray[np.bool_]]:
    """Return the mask that `edge-sam segment` writes for a prompt."""
    from command_line import run_here

    def segment(*prompt: str) -> NDArray[np.bool_]:
        folder = tmp_path_factory.mktemp("segment")
        done = run_here("segment", PHOTOGRAPH, *prompt, "--output", folder, cwd=folder)
        assert done.returncode == 0, done.stderr
        (mask,) = folder.glob("*mask*.png")
        return read_pixels(mask) > 0

    return segment
