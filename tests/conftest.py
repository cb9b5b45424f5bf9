"""What the tests share: the real model, real photographs, the real checkpoint."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from filelock import FileLock
from hypothesis import settings
from PIL import Image

import edge_sam
from edge_sam.bundles.bundle import Bundle, open_bundle
from edge_sam.files.cache_home import cache_home
from edge_sam.predictor import Predictor

ROOT = Path(__file__).parent.parent
PHOTOGRAPHS = ROOT / "examples" / "photographs"
pytest_plugins = ["served_page"]

settings.register_profile("same", deadline=None, derandomize=True, database=None, max_examples=60)
"""The same examples at every call. To search for new ones: ``pytest --hypothesis-profile default``."""
settings.load_profile("same")


def pytest_configure() -> None:
    """Give each of pytest-xdist's processes its own cores: threads of two processes that spin on one core stall."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker and hasattr(os, "sched_setaffinity"):
        number, count = int(worker.removeprefix("gw")), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[number % len(cores) :: count])


_CACHE = cache_home()
"""The developer's own cache: the checkpoint is pulled into it once, and nothing else of it is used or touched."""


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache for the session, so that what was tuned on this machine decides nothing in the tests."""
    home = tmp_path_factory.mktemp("home")
    (_CACHE / "checkpoints").mkdir(parents=True, exist_ok=True)
    (home / "checkpoints").symlink_to(_CACHE.absolute() / "checkpoints")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGE_SAM_HOME", str(home))
        yield


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that starts empty, for tests of what is remembered."""
    monkeypatch.setenv("EDGE_SAM_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def predictor() -> Predictor:
    """The model that comes with the package."""
    return edge_sam.load("mobile-sam")


@pytest.fixture(scope="session")
def coffee() -> np.ndarray:
    """A 600×400 photograph of a cup, its box about (76, 18, 478, 390)."""
    return read_rgb(PHOTOGRAPHS / "coffee.png")


@pytest.fixture
def picture(coffee: np.ndarray) -> Image.Image:
    """The cup as Pillow has it."""
    return Image.fromarray(coffee)


@pytest.fixture
def small(picture: Image.Image) -> Image.Image:
    """The cup in 60×40."""
    return picture.resize((60, 40))


@pytest.fixture(scope="session")
def embedding(predictor: Predictor, coffee: np.ndarray) -> edge_sam.ImageEmbedding:
    """The cup, encoded."""
    return predictor.encode(coffee)


@pytest.fixture(scope="session")
def checkpoint() -> Path:
    """The official MobileSAM checkpoint: EDGE_SAM_CHECKPOINT, or pulled into the cache.

    Without a network set EDGE_SAM_OFFLINE=1 and the tests that need it are skipped; otherwise not having it fails.
    """
    given = os.environ.get("EDGE_SAM_CHECKPOINT")
    if given:
        return Path(given)
    from edge_sam.bundles import download, zoo

    model = zoo.read_index()["mobile-sam"]
    home = _CACHE
    if os.environ.get("EDGE_SAM_OFFLINE") == "1" and not zoo.checkpoint_path(model, home).is_file():
        pytest.skip("EDGE_SAM_OFFLINE=1 and the checkpoint is not in the cache")
    return download.pull(model, home)


BOTH_PRECISIONS = ("--precision", "fp32", "--precision", "w16")


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder that `make` filled: once for all of pytest-xdist's processes."""
    root = factory.getbasetemp()
    folder = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / f"{name}-made-once"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            folder.mkdir()
            try:
                make(folder)
            except BaseException:
                shutil.rmtree(folder)
                raise
    return folder


@pytest.fixture(scope="session")
def exported(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle exported here and now, in both precisions, with the command of docs/export.md."""

    def export(folder: Path) -> None:
        command = [
            sys.executable,
            "-m",
            "edge_sam",
            "export",
            str(checkpoint),
            "--output",
            "mobile-sam",
            *BOTH_PRECISIONS,
        ]
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        assert "mobile-sam" in run.stdout

    return open_bundle(made_once(tmp_path_factory, "exported", export) / "mobile-sam")


@pytest.fixture(scope="session")
def small_sam2(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """SAM 2 with a sixth of tiny's width, and seeded random weights."""

    def export(folder: Path) -> None:
        import torch
        from sam2_formulas import random_tensors

        from edge_sam.export import hiera, onnx_writer, parity
        from edge_sam.export.bundle_writer import export_bundle

        torch.save(random_tensors(16), folder / "small.pt")
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(hiera._SIZES, (16, 12), hiera._SIZES[96, 12])
            patch.setattr(onnx_writer, "_EXAMPLES", {**onnx_writer._EXAMPLES, "height": 64, "width": 128})
            patch.setattr(parity, "_SIZES", ((64, 96), (96, 32)))
            patch.setattr(parity, "_WIDE", 64)
            patch.setattr(parity, "FRAME", 96)
            export_bundle(folder / "small.pt", folder / "small")

    return open_bundle(made_once(tmp_path_factory, "small-sam2", export) / "small")


@pytest.fixture(scope="session")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A calibration set of two photographs."""
    folder = tmp_path_factory.mktemp("calibration")
    for name in ("chelsea.png", "coffee.png"):
        shutil.copy(PHOTOGRAPHS / name, folder)
    return folder


def quantize(photographs: Path) -> list[str]:
    """Return the arguments of a quick `edge-sam quantize` of the packaged model, without where to write."""
    return ["quantize", "mobile-sam", "--calibration", str(photographs), "--samples", "4", "--max-drop", "20"]


@pytest.fixture(scope="session")
def quantized(calibration: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, dict[str, Any]]:
    """A bundle with int8 in it, and what the command printed."""

    def make(folder: Path) -> None:
        command = [sys.executable, "-m", "edge_sam", *quantize(calibration), "--output", "small", "--json"]
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert (run.returncode, run.stderr) == (0, "")
        assert [path.name for path in folder.iterdir()] == ["small"]
        (folder / "printed.json").write_text(run.stdout)

    folder = made_once(tmp_path_factory, "quantized", make)
    return open_bundle(folder / "small"), json.loads((folder / "printed.json").read_text())


def read_rgb(path: Path) -> np.ndarray:
    """Read a photograph by other means than the package's own."""
    return np.ascontiguousarray(read_pixels(path, cv2.IMREAD_COLOR)[..., ::-1])


def read_pixels(path: Path, flags: int = cv2.IMREAD_UNCHANGED) -> np.ndarray:
    """Read a picture as OpenCV has it."""
    pixels = cv2.imread(str(path), flags)
    assert pixels is not None, path
    return pixels


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """IoU of two masks; 1 where both are empty."""
    union = np.count_nonzero(a | b)
    return float(np.count_nonzero(a & b) / union) if union else 1.0
