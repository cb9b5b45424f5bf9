"""The example that runs the whole model in a browser. Skipped where it is not built, or there is no Chromium."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec

import pytest
from conftest import ROOT

BUILT = ROOT / "examples" / "browser" / "dist"


@pytest.mark.skipif(
    not (BUILT.is_dir() and shutil.which("chromium") and find_spec("playwright")),
    reason="examples/browser is not built, or no Chromium, or no playwright",
)
def test_its_mask_is_that_of_the_package() -> None:
    script = ROOT / "benchmarks" / "browser.py"
    command = [sys.executable, str(script), "--encodes", "1", "--clicks", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["iou"] >= 0.99
