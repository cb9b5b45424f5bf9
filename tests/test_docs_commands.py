"""Every command of README and docs is run, beside what its words in capitals stand for, and ends well.

Most run in this process, which saves a second each. test_cli.py and test_working_folder.py run them as users do.
"""

from __future__ import annotations

import itertools
import json
import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

import conftest
import foreign_graphs
import numpy as np
import pytest
import scenes
import streams
from command_line import run_here
from conftest import PHOTOGRAPHS, ROOT
from served import running
from test_cli import edge_sam as run_apart
from test_docs import DOCS, PAGES, blocks, commands, name_of
from test_text_layouts import MODELS as TEXT_MODELS

import edge_sam
from edge_sam.bundles.bundle import Bundle, open_bundle
from edge_sam.files.cache_home import cache_home
from edge_sam.runtimes import why_unusable

pytestmark = pytest.mark.thorough

BUNDLE = open_bundle("mobile-sam").path
CHEAPER = {
    "annotate": "--long-side 256",
    "bench": "--rounds 1 --warm-up 0 --long-side 256 --threads 1 --runtime onnxruntime",
    "camera": "--runtime onnxruntime --long-side 512",
    "encode": "--long-side 256",
    "everything": "--long-side 256 --points-per-side 4",
    "tune": "--rounds 1 --threads 1 --runtime onnxruntime --image photograph.jpg",
}
"""Options that take the place of a command's own. None may switch a check off."""
ONCE = {"export": "exported", "quantize": "quantized"}
"""Commands that take long if they have `--output`, and the fixtures that run them once for all tests."""
APART = {"camera"}
"""Commands that run in a process of their own, because they need a real standard output."""
CAMERAS = re.compile(r"\b0 (?=--box)|rtsp://camera/1|--pipeline \"nvarguscamerasrc [^\"]*\"|\"rtsp://camera/1\"")
"""A video takes their place; streams are tested in test_camera.py."""
WORDS = re.compile(r"(?<![\w-])--[a-z0-9][\w-]*")
"""Long options, whole."""
CLUSTER = "HOST:6379"
"""The one thing that is not run: test_annotate_ray.py starts a cluster."""
BOX = (76, 18, 478, 390)
"""The cup in the photograph."""
SIZE = (600, 400)
"""(width, height) of the video."""
OUTPUTS = {"--output", "--report", "--video", "--masks"}
"""Options that say where a command writes."""
PLAIN = {
    "annotate.md": ("chelsea.png", "coffee.png"),
    "jetson.md": ("chelsea.png", "coffee.png"),
    "migrating.md": ("chelsea.png", "coffee.png"),
    "quantization.md": ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"),
}
"""Pages whose FOLDER holds photographs and nothing else, and which."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that the pages may tune."""
    cache = tmp_path_factory.mktemp("cache")
    (cache / "checkpoints").symlink_to(cache_home() / "checkpoints")
    return cache


@pytest.fixture
def place(
    tmp_path: Path, cache: Path, request: pytest.FixtureRequest, coffee: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder where everything that a page names exists under that name, and a cache in which nothing is tuned."""
    shutil.rmtree(cache / "tuned", ignore_errors=True)
    monkeypatch.setenv("EDGE_SAM_HOME", str(cache))
    for name, target in {"examples": ROOT / "examples", "photographs": PHOTOGRAPHS, "BUNDLE": BUNDLE}.items():
        (tmp_path / name).symlink_to(target)
    photographs = PLAIN.get(request.getfixturevalue("page").name)
    if photographs is None:
        scenes.folder(tmp_path / "FOLDER")
    else:
        (tmp_path / "FOLDER").mkdir()
        for name in photographs:
            shutil.copy(PHOTOGRAPHS / name, tmp_path / "FOLDER")
    for name in ("PHOTOGRAPH", "photograph.jpg", "photos/a/cup.jpg"):
        scenes.photograph(tmp_path / name)
    foreign_graphs.Encoder().save(tmp_path / "encoder.onnx")
    foreign_graphs.SAM.save(tmp_path / "decoder.onnx")
    (tmp_path / "boxes.csv").write_text("image,x0,y0,x1,y1,label\ncoffee.png,76,18,478,390,cup\n")
    (tmp_path / "detector.py").write_text(_detector())
    streams.write_video(tmp_path / "walk.mp4", streams.scene(coffee, 4, *SIZE))
    scenes.write_grey(tmp_path / "first.png", scenes.CUP * 255)
    for name, model in {"MATCHER": "owlv2", "owlv2-download": "owlv2", "mobileclip2-download/onnx/s0": "clip"}.items():
        shutil.copytree(TEXT_MODELS / model, tmp_path / name)
    web = tmp_path / "node_modules" / "onnxruntime-web" / "dist"  # A folder that npm would fill.
    web.mkdir(parents=True)
    (web / "ort-wasm-simd-threaded.wasm").write_bytes(b"\0asm")
    for name in ("old", "new"):
        (tmp_path / name).symlink_to("DIR")
    return tmp_path


def _detector() -> str:
    (code,) = blocks(DOCS / "annotate.md", "python")
    return f"import edge_sam\n\n\ndef my_detector(image):\n    return [({BOX}, 'cup')]\n\n\n{code}"


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=name_of)
def test_commands_of_a_page_run_one_after_the_other(page: Path, place: Path, request: pytest.FixtureRequest) -> None:
    lines = [line for line in commands(page) if CLUSTER not in line]
    if any("mobile_sam" in line or "$(" in line for line in lines):
        (place / "mobile_sam.pt").symlink_to(request.getfixturevalue("checkpoint"))
    for line in lines:
        arguments = shlex.split(_without_hardware(line), comments=True)[1:]
        arguments = [_output(argument, place) for argument in arguments]
        if arguments[0] in ONCE and "--output" in arguments:
            made = request.getfixturevalue(ONCE[arguments[0]])
            output = place / arguments[arguments.index("--output") + 1]
            shutil.copytree(made.path if isinstance(made, Bundle) else made[0].path, output)
            continue
        if arguments[0] == "serve":
            with running(*_with(arguments[1:], ["--port", "0"])[:-2], home=place / "served", cwd=place) as server:
                server.process.terminate()
                assert server.process.wait(60) == 0, f"{page.name}: {line}"
            continue
        if "--compare" not in arguments:
            arguments = _with(arguments, CHEAPER.get(arguments[0], "").split())
        if arguments[0] == "annotate" and "--prompts" not in arguments:  # Then it asks for everything.
            arguments += ["--points-per-side", "4"]
        outputs = [place / path for option, path in itertools.pairwise(arguments) if option in OUTPUTS]
        before = [_files(path) for path in outputs]
        run = (run_apart if arguments[0] in APART else run_here)(*arguments, cwd=place)
        assert run.returncode == 0, f"{page.name}: {line}\n{run.stderr}"
        if "--json" in arguments or "--stream" in arguments:
            assert {type(json.loads(text)) for text in run.stdout.splitlines()} == {dict}, f"{page.name}: {line}"
        assert outputs or run.stdout.strip(), f"{page.name}: {line} gives nothing"
        for path, old in zip(outputs, before, strict=True):
            assert _files(path).items() - old.items(), f"{page.name}: {line} did not write {path.name}"


def _with(arguments: list[str], options: list[str]) -> list[str]:
    """Arguments with these options, each of which has a value, in the place of the same ones that they had."""
    kept = list(arguments)
    for option in options[::2]:
        while option in kept:
            place = kept.index(option)
            del kept[place : place + 2]
    return kept + options


def _files(path: Path) -> dict[Path, tuple[int, int]]:
    """Every file there that has content: when it was written and its size."""
    found = [path, *path.rglob("*")] if path.exists() else []
    sizes = {file: file.stat() for file in found if file.is_file()}
    return {file: (known.st_mtime_ns, known.st_size) for file, known in sizes.items() if known.st_size}


def _without_hardware(line: str) -> str:
    """A command for a machine without a camera or a display."""
    return CAMERAS.sub("walk.mp4 ", line).replace("--show", "")


def _output(argument: str, place: Path) -> str:
    """What a shell puts in the place of `$(edge-sam …)`."""
    inner = re.fullmatch(r"\$\(edge-sam (.*)\)", argument)
    if not inner:
        return argument
    run = run_here(*shlex.split(inner[1]), cwd=place)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def _readme(names: dict[str, Any]) -> None:
    _index(names)
    for prompt, result in zip(names["prompts"], (names["cup"], names["refined"]), strict=True):
        assert result.masks.shape == (3, 400, 600)
        assert result.masks[0, 120, 250]
        alone = names["predictor"].predict(names["embedding"], prompt)
        assert conftest.iou(result.masks, alone.masks) > 0.999
    assert not names["cup"].masks[0, 330, 420]
    assert names["frame"].objects[0].state in ("held", "carried")
    assert names["frame"].objects[0].mask.any()


def _index(names: dict[str, Any]) -> None:
    assert names["result"].masks.shape == (1, 400, 600)
    assert names["result"].scores[0] > 0.9
    np.testing.assert_allclose(names["result"].boxes, [BOX], atol=6)


def _annotate(names: dict[str, Any]) -> None:
    assert names["boxes"](None, "cup.png") == [(edge_sam.Prompt(box=BOX), "cup")]


def _camera(names: dict[str, Any]) -> None:
    summary = names["stream"].summary()
    assert (summary["ended"], summary["model"]) == ("end of source", "mobile-sam")
    assert summary["frames"] >= 1
    assert names["frame"].objects[0].state in ("held", "carried")
    assert names["frame"].latency_ms > 0


def _everything(names: dict[str, Any]) -> None:
    assert {"segmentation", "bbox", "area", "predicted_iou", "stability_score"} <= names["mask"].keys()
    assert names["mask"]["segmentation"]["size"] == [400, 600]
    assert names["mask"]["area"] > 0


def _import(names: dict[str, Any]) -> None:
    assert names["predictor"].facts.unproved
    assert names["result"].masks.shape == (3, 400, 600)
    assert names["result"].masks[0, 120, 250]


def _migrating(names: dict[str, Any]) -> None:
    assert names["masks"].shape == (3, 400, 600)
    assert names["masks"][:, 120, 250].all()
    assert names["mask"].shape == (1, 400, 600)
    np.testing.assert_array_equal(names["detections"].mask, names["result"].masks)
    assert (names["picture"] != names["image"]).any(axis=2)[names["result"].masks[0]].mean() > 0.9
    assert len(names["everything"]) == len(names["records"]) > 1


def _tracking(names: dict[str, Any]) -> None:
    tracked = names["tracked"]
    assert tracked.state == "held"
    left, top, right, bottom = streams.CUP
    moved = 2 * len(names["frames"]) * 192 / 600  # `streams.scene` turns by two pixels of the photograph a frame.
    np.testing.assert_allclose(tracked.box, (left - moved, top, right - moved, bottom), atol=6)


def _one_click(names: dict[str, Any]) -> None:
    result, part, three, index = (names[name] for name in ("result", "part", "three", "index"))
    assert result.masks.shape == part.masks.shape == (1, 400, 600)
    np.testing.assert_array_equal(three.masks[index], result.masks[0])
    assert 0 < part.masks.sum() <= result.masks.sum()


def _runtimes(names: dict[str, Any]) -> None:
    predictor = names["predictor"]
    assert (predictor.runtime == "cuda") == (why_unusable("cuda") is None)
    assert predictor.provider == predictor.model.active.encoder.provider


def _text(names: dict[str, Any]) -> None:
    assert names["matcher"].facts.matcher == "owl"
    assert names["result"].masks.shape[1:] == (400, 600)
    assert set(names["result"].words) <= {"a red mug", "a spoon"}  # The model is random.


RESULTS = {
    "README.md": _readme,
    "annotate.md": _annotate,
    "camera.md": _camera,
    "everything.md": _everything,
    "import.md": _import,
    "index.md": _index,
    "migrating.md": _migrating,
    "one-click.md": _one_click,
    "runtimes.md": _runtimes,
    "text.md": _text,
    "tracking.md": _tracking,
}
"""What the Python of each page gives."""
QUICKER = {r"Stream\([^,]*,": 'Stream("walk.mp4", long_side=512,', "points_per_side=32": "points_per_side=6"}
"""What takes the place of a camera, and of a search that takes long."""


def test_every_page_with_python_is_checked() -> None:
    assert {page.name for page in PAGES if blocks(page, "python")} == RESULTS.keys()
    assert {page.name for page in PAGES if "```python" in page.read_text()} == RESULTS.keys()


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name_of)
def test_python_of_a_page_gives_what_it_says(
    page: Path, place: Path, coffee: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    first, *frames = [np.ascontiguousarray(frame[..., ::-1]) for frame in streams.scene(coffee, 3)]
    names: dict[str, Any] = {"edge_sam": edge_sam, "first_frame": first, "frames": frames}
    names |= dict(zip(("x0", "y0", "x1", "y1"), streams.CUP, strict=True))
    names["my_detector"] = lambda _: [(BOX, "cup")]
    for code in blocks(page, "python"):
        for pattern, replacement in QUICKER.items():
            code = re.sub(pattern, replacement, code)
        exec(compile(code, page.name, "exec"), names)
    RESULTS[page.name](names)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_is_made_and_installed_exists(page: Path) -> None:
    text = page.read_text()
    code = "\n".join([*blocks(page, ""), *re.findall(r"`([^`\n]+)`", text)])
    targets = set(re.findall(r"\bmake ([a-z][\w-]*)", code))
    if targets:
        done = subprocess.run(
            ["make", "--dry-run", *targets, "DATA=."], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{page.name}: {done.stderr}"
    extras = set(re.findall(r"(?:edge-sam|\.)\[([\w,-]+)\]", text))
    offered = metadata("edge-sam").get_all("Provides-Extra") or []
    assert {name for extra in extras for name in extra.split(",")} <= set(offered)


def _scripts() -> list[tuple[str, str, str]]:
    """Scripts of benchmarks/ with what follows them: page, path, arguments."""
    found = re.compile(r"python (benchmarks/\w+\.py)([^`#]*?)(?:`|#|$)", re.MULTILINE)
    return [(name_of(page), *match) for page in PAGES for match in found.findall(page.read_text())]


@pytest.mark.parametrize(("page", "script", "arguments"), _scripts())
def test_scripts_have_the_options_that_pages_name(page: str, script: str, arguments: str) -> None:
    done = subprocess.run([sys.executable, script, "--help"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    unknown = set(re.findall(WORDS, arguments)) - set(re.findall(WORDS, done.stdout))
    assert not unknown, f"{page}: {script} has no {', '.join(sorted(unknown))}"


def test_every_script_of_the_pages_is_found() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    assert len(_scripts()) == text.count("python benchmarks/") > 0
    for script in re.findall(r"benchmarks/\w+\.py", text):
        assert (ROOT / script).is_file()
