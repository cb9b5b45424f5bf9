"""The samples without Python, compiled and run: masks equal to ours. Skipped where compiler or library is missing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import PHOTOGRAPHS, ROOT, iou, read_pixels
from PIL import Image
from test_layouts import sam  # noqa: F401 # A fixture.

import edge_sam
from edge_sam import Prompt
from edge_sam.runtimes.onnxruntime_session import load_package

BOX = (130, 31, 816, 666)
SAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cup, enlarged to 1024 pixels, as a PPM file."""
    file = tmp_path_factory.mktemp("samples") / "photograph.ppm"
    Image.open(PHOTOGRAPHS / "coffee.png").convert("RGB").resize((1024, 683), Image.Resampling.BILINEAR).save(file)
    return file


def check(command: list[str], folder: Path, photograph: Path) -> None:
    """Run a sample, and compare its mask with ours."""
    mask = photograph.with_suffix(".pgm")
    files = [str(folder / f"mobile-sam.{part}.onnx") for part in ("encoder", "decoder")]
    done = subprocess.run(
        [*command, *files, str(photograph), *map(str, BOX), str(mask)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    image = np.ascontiguousarray(read_pixels(photograph, cv2.IMREAD_COLOR)[..., ::-1])
    predictor = edge_sam.load("mobile-sam", full_grid=True)
    ours = predictor.predict(predictor.encode(image), Prompt(box=BOX), multimask=False)
    assert iou(read_pixels(mask) > 0, ours.masks[0]) >= 0.999
    assert f"predicted IoU {ours.scores[0]:.2f}" in done.stdout


COMPILER = shutil.which("c++")
HEADERS = Path(os.environ.get("ORT_INCLUDE", "/usr/include/onnxruntime"))
"""Where `onnxruntime_c_api.h` lies: Debian's libonnxruntime-dev, or ORT_INCLUDE."""


@pytest.mark.skipif(
    COMPILER is None or not (HEADERS / "onnxruntime_c_api.h").is_file(), reason="no C++ compiler, or no headers"
)
def test_cpp(
    sam: tuple[Path, object],  # noqa: F811
    photograph: Path,
    tmp_path: Path,
) -> None:
    libraries = sorted(Path(load_package().__file__ or "").parent.glob("capi/libonnxruntime.so*"))
    where = ["-lonnxruntime"]
    if libraries:  # The loader looks for the name without the minor version.
        (tmp_path / "libonnxruntime.so.1").symlink_to(libraries[0])
        where = [str(libraries[0]), f"-Wl,-rpath,{tmp_path}"]
    program = tmp_path / "segment"
    source = str(SAMPLES / "cpp" / "segment.cpp")
    command = [COMPILER or "", "-std=c++17", "-Wall", "-Wextra", "-Werror", source, "-o", str(program)]
    subprocess.run([*command, "-I", str(HEADERS), *where], check=True)
    check([str(program)], sam[0], photograph)


def _node_has_the_package() -> bool:
    node = shutil.which("node")
    command = [node or "", "-e", "require.resolve('onnxruntime-node')"]
    return node is not None and not subprocess.run(command, cwd=SAMPLES, capture_output=True, check=False).returncode


@pytest.mark.skipif(not _node_has_the_package(), reason="no Node, or no onnxruntime-node on NODE_PATH")
def test_javascript(
    sam: tuple[Path, object],  # noqa: F811
    photograph: Path,
) -> None:
    check(["node", str(SAMPLES / "javascript" / "segment.js")], sam[0], photograph)


BROWSER = ROOT / "benchmarks" / "consumers" / "with_browser.py"


def _web_package() -> Path | None:
    """Return the folder above the node_modules of NODE_PATH that has onnxruntime-web."""
    folders = [Path(each) for each in os.environ.get("NODE_PATH", "").split(os.pathsep) if each]
    return next((each.parent for each in folders if (each / "onnxruntime-web").is_dir()), None)


@pytest.mark.skipif(
    not (shutil.which("chromium") and find_spec("playwright") and _web_package()),
    reason="no Chromium, no playwright, or no onnxruntime-web on NODE_PATH",
)
def test_browser(
    sam: tuple[Path, object],  # noqa: F811
    photograph: Path,
    tmp_path: Path,
) -> None:
    image = np.ascontiguousarray(read_pixels(photograph, cv2.IMREAD_COLOR)[..., ::-1])
    Image.fromarray(image).save(photograph.with_suffix(".png"))  # Browsers read no PPM.
    prompts = [Prompt(points=[(512, 250)]), Prompt(box=BOX)]
    asked: list[dict[str, object]] = [{"points": [(512, 250)], "box": None}, {"points": [], "box": BOX}]
    cases = tmp_path / "cases.json"
    cases.write_text(json.dumps([{"image": str(photograph.with_suffix(".png")), **each} for each in asked]))
    files = [str(sam[0] / f"mobile-sam.{part}.onnx") for part in ("encoder", "decoder")]
    command = [sys.executable, str(BROWSER), "sam", *files, str(cases), str(tmp_path)]
    done = subprocess.run(command, cwd=_web_package(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    predictor = edge_sam.load("mobile-sam", full_grid=True)
    answers = predictor.predict(predictor.encode(image), prompts, multimask=False)
    for i, answer in enumerate(answers):
        assert iou(np.load(tmp_path / f"{i}.npy"), answer.masks[0]) >= 0.99
