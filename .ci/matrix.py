"""Install the wheel into clean environments of each Python, with the oldest and the newest dependencies, and try it.

    python .ci/matrix.py dist/edge_sam-*.whl [--python 3.10 --python 3.13] [--set oldest]

Prints one line for each environment. `uv` finds or downloads the Pythons and makes the environments.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
OLDEST = {
    "3.10": ("numpy==1.26.*", "opencv-python-headless==4.8.1.78", "onnxruntime==1.18.*"),
    "3.11": ("numpy==1.26.*", "opencv-python-headless==4.8.1.78", "onnxruntime==1.18.*"),
    "3.12": ("numpy==1.26.*", "opencv-python-headless==4.8.1.78", "onnxruntime==1.18.*"),
    "3.13": ("numpy==2.1.*", "opencv-python-headless==4.10.*", "onnxruntime==1.20.*"),
}
"""The oldest versions that have wheels for a Python. There are none for 3.14 but the newest."""
SHOWN = ("numpy", "opencv-python-headless", "onnxruntime", "pillow", "msgspec")
TESTS = ("tests/test_predictor.py", "tests/test_arrays.py", "tests/test_trust_media.py")
_TEST_PACKAGES = ("pytest", "pytest-timeout", "hypothesis")


def main() -> int:
    """Run all combinations that were asked for. Returns 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--python", action="append", choices=PYTHONS)
    parser.add_argument("--set", action="append", choices=("oldest", "newest"))
    parser.add_argument("--tests", action="store_true", help="run a few tests too")
    given = parser.parse_args()
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    failed = False
    for python in given.python or PYTHONS:
        for which in given.set or ("oldest", "newest"):
            if which == "oldest" and python not in OLDEST:
                continue
            start = time.perf_counter()
            result = _try(uv, python, OLDEST[python] if which == "oldest" else (), given.wheel.resolve(), given.tests)
            failed |= not result.startswith("ok")
            print(f"Python {python:5} {which:7} {time.perf_counter() - start:5.0f} s  {result}", flush=True)
    return int(failed)


def _try(uv: str, python: str, pinned: tuple[str, ...], wheel: Path, tests: bool) -> str:
    """Return "ok" with the versions, or the last line of what failed."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        bin = here / "env" / "bin"
        environment = {**os.environ, "VIRTUAL_ENV": str(here / "env"), "EDGE_SAM_HOME": str(here / "cache")}
        photograph = ROOT / "examples" / "photographs" / "coffee.png"
        steps = [
            [uv, "venv", "--quiet", "--python", python, str(here / "env")],
            [uv, "pip", "install", "--quiet", str(wheel), *pinned, *(_TEST_PACKAGES if tests else ())],
            [str(bin / "edge-sam"), "segment", str(photograph), "--point", "300,120", "--output", "masks", "--json"],
        ]
        if tests:
            (here / "tests").mkdir()
            shutil.copytree(ROOT / "examples", here / "examples")
            for file in (ROOT / "tests").glob("*.py"):
                if not file.name.startswith("test_") or f"tests/{file.name}" in TESTS:
                    shutil.copy(file, here / "tests")
            steps.append([str(bin / "python"), "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS])
        for step in steps:
            done = subprocess.run(step, cwd=here, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                lines = (done.stderr.strip() or done.stdout.strip() or f"exit {done.returncode}").splitlines()
                return f"FAILED {Path(step[0]).name} {step[1]}: {lines[-1][:200]}"
        listed = subprocess.run(
            [uv, "pip", "list", "--quiet", "--format", "json"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        versions = {each["name"]: each["version"] for each in json.loads(listed.stdout)}
        return "ok  " + ", ".join(f"{name} {versions[name]}" for name in SHOWN)


if __name__ == "__main__":
    sys.exit(main())
