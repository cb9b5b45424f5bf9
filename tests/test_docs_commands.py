"""Every command of README and docs is run, beside what its words in capitals stand for, and ends well."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scenes
import streams
from conftest import PHOTOGRAPHS, ROOT
from test_cli import edge_sam as run_command
from test_docs import PAGES, blocks, commands

import edge_sam
from edge_sam.bundle import open_bundle
from edge_sam.cache import cache_home

BUNDLE = open_bundle("mobile-sam").path
CHEAPER = {
    "annotate": "--long-side 256",
    "bench": "--rounds 1 --warm-up 0 --long-side 256 --threads 2",
    "everything": "--long-side 256 --points-per-side 4",
    "quantize": "--samples 4 --max-drop 20",
    "tune": "--rounds 1 --threads 2 --runtime onnxruntime",
}
"""Options at the end of a command, where they hold over earlier ones."""
CAMERAS = re.compile(r"\b0 (?=--box)|rtsp://camera/1|\"nvarguscamerasrc [^\"]*\"|\"rtsp://camera/1\"")
"""A video takes their place; streams are tested in test_camera.py."""
CLUSTER = "HOST:6379"
"""The one thing that is not run: test_annotate_ray.py starts a cluster."""
SIZE = (600, 400)
"""(width, height) of the video."""
PLAIN = {"annotate.md", "jetson.md", "quantization.md"}
"""Pages whose FOLDER holds photographs and nothing else."""


@pytest.fixture
def place(tmp_path: Path, request: pytest.FixtureRequest, coffee: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where everything that a page names exists under that name, and a cache that it may tune."""
    cache = tmp_path / ".cache"
    cache.mkdir()
    (cache / "checkpoints").symlink_to(cache_home() / "checkpoints")
    monkeypatch.setenv("EDGE_SAM_HOME", str(cache))
    for name, target in {"examples": ROOT / "examples", "photographs": PHOTOGRAPHS, "BUNDLE": BUNDLE}.items():
        (tmp_path / name).symlink_to(target)
    if request.getfixturevalue("page").name in PLAIN:
        (tmp_path / "FOLDER").symlink_to(PHOTOGRAPHS)
    else:
        scenes.folder(tmp_path / "FOLDER")
    for name in ("PHOTOGRAPH", "photograph.jpg", "photos/a/cup.jpg"):
        scenes.photograph(tmp_path / name)
    (tmp_path / "boxes.csv").write_text("image,x0,y0,x1,y1,label\ncoffee.png,76,18,478,390,cup\n")
    (tmp_path / "detector.py").write_text(_detector())
    streams.write_video(tmp_path / "walk.mp4", streams.scene(coffee, 4, *SIZE))
    scenes.write_grey(tmp_path / "first.png", scenes.CUP * 255)
    for name in ("old", "new"):
        (tmp_path / name).symlink_to("DIR")
    return tmp_path


def _detector() -> str:
    (page,) = (page for page in PAGES if page.name == "annotate.md")
    (code,) = blocks(page, "python")
    return f"import edge_sam\n\n\ndef my_detector(image):\n    return [((76, 18, 478, 390), 'cup')]\n\n\n{code}"


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.name)
def test_commands_of_a_page_run_one_after_the_other(page: Path, place: Path, request: pytest.FixtureRequest) -> None:
    lines = [line for line in commands(page) if CLUSTER not in line]
    if any("mobile_sam" in line or "$(" in line for line in lines):
        (place / "mobile_sam.pt").symlink_to(request.getfixturevalue("checkpoint"))
    for line in lines:
        arguments = shlex.split(_without_hardware(line), comments=True)[1:]
        arguments = [_output(argument, place) for argument in arguments]
        if "--compare" not in arguments:
            arguments += CHEAPER.get(arguments[0], "").split()
        run = run_command(*arguments, cwd=place)
        assert run.returncode == 0, f"{page.name}: {line}\n{run.stderr}"
        assert run.stdout or "--output" in arguments, line


def _without_hardware(line: str) -> str:
    """A command for a machine without a camera or a display."""
    return CAMERAS.sub("walk.mp4 ", line).replace("--show", "")


def _output(argument: str, place: Path) -> str:
    """What a shell puts in the place of `$(edge-sam …)`."""
    inner = re.fullmatch(r"\$\(edge-sam (.*)\)", argument)
    if not inner:
        return argument
    run = run_command(*shlex.split(inner[1]), cwd=place)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name)
def test_python_of_a_page_runs(page: Path, place: Path, coffee: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    first, *frames = [np.ascontiguousarray(frame[..., ::-1]) for frame in streams.scene(coffee, 3)]
    names: dict[str, Any] = {"edge_sam": edge_sam, "first_frame": first, "frames": frames}
    names |= dict(zip(("x0", "y0", "x1", "y1"), streams.CUP, strict=True))
    for code in blocks(page, "python"):
        exec(compile(re.sub(r"Stream\([^,]*,", 'Stream("walk.mp4",', code), page.name, "exec"), names)
    if page.name == "README.md":
        assert names["result"].masks.shape == (1, 400, 600)
        assert names["frame"].objects[0].state in ("held", "carried")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_made_and_installed_exists(page: Path) -> None:
    text = page.read_text()
    targets = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE))
    if targets:
        done = subprocess.run(
            ["make", "--dry-run", *targets, "DATA=."], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{page.name}: {done.stderr}"
    extras = set(re.findall(r"pip install \"(?:edge-sam|\.)\[([a-z,-]+)\]\"", text))
    offered = metadata("edge-sam").get_all("Provides-Extra") or []
    assert {name for extra in extras for name in extra.split(",")} <= set(offered)


def _scripts() -> list[tuple[str, str, str]]:
    """Scripts of benchmarks/ with what follows them: page, path, arguments."""
    found = re.compile(r"python (benchmarks/\w+\.py)([^`#]*?)(?:`|#|$)", re.MULTILINE)
    return [(page.name, *match) for page in PAGES for match in found.findall(page.read_text())]


@pytest.mark.parametrize(("page", "script", "arguments"), _scripts())
def test_scripts_have_the_options_that_pages_name(page: str, script: str, arguments: str) -> None:
    done = subprocess.run([sys.executable, script, "--help"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for option in re.findall(r"--[a-z-]+", arguments):
        assert option in done.stdout, f"{page}: {script} has no {option}"
