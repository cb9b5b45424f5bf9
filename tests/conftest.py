"""What the tests share: the real model, real photographs, the real checkpoint."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import settings

import edge_sam
from edge_sam.bundles.bundle import Bundle, open_bundle
from edge_sam.files.cache_home import cache_home
from edge_sam.predictor import Predictor

ROOT = Path(__file__).parent.parent
PHOTOGRAPHS = ROOT / "examples" / "photographs"

settings.register_profile("same", deadline=None, derandomize=True, database=None, max_examples=60)
"""The same examples at every call. To search for new ones: ``pytest --hypothesis-profile default``."""
settings.load_profile("same")

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


@pytest.fixture(scope="session")
def exported(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle exported here and now, in both precisions, with the command of docs/export.md."""
    folder = tmp_path_factory.mktemp("bundles")
    command = [sys.executable, "-m", "edge_sam", "export", str(checkpoint), "--output", "mobile-sam", *BOTH_PRECISIONS]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "mobile-sam" in run.stdout
    return open_bundle(folder / "mobile-sam")


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
