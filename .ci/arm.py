"""Run the package on an emulated 64-bit ARM and compare its masks with this machine's.

    python .ci/arm.py [BUNDLE...] [--long-side 512]

Needs Debian as the host, and no root: qemu-user and an ARM Python come from its packages, the libraries from
wheels. All of it goes to build/arm and is fetched once. Prints a table with one line for each bundle and precision.
Exit code 1 means that a mask differs from this machine's by more than the IoU below.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_sam.bundles.bundle import BUNDLED, open_bundle
from edge_sam.imaging.images import read_image

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
HERE = ROOT / "build" / "arm"
EMULATED = HERE / "root"
PACKAGES = HERE / "packages"
PHOTOGRAPH = ROOT / "examples" / "photographs" / "coffee.png"
PROMPT = ("--box", "76,18,478,390")
PRECISIONS = ("w16", "int8")
PINNED = ("onnxruntime==1.23.2",)
"""Later ones crash at import under qemu 7.2 (docs/lab/arm.md)."""
WHEELS = [f"manylinux_2_{minor}_aarch64" for minor in (17, 24, 27, 28)] + ["manylinux2014_aarch64"]
LEAST = {"int8": 0.98}
"""Least IoU with this machine's mask. int8 products round alike, but the fp32 arithmetic between them need not."""
LEAST_EXACT = 0.999
"""The same for other precisions."""


def main() -> int:
    """Run all bundles. Returns 1 if a mask differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="*", type=Path, help="default: the packaged model")
    parser.add_argument("--long-side", type=int, default=512)
    given = parser.parse_args()
    emulator = _prepare()
    failed = False
    print(f"| model | precision | IoU with x86-64 at {given.long_side} | pixels that differ | score | s under qemu |")
    print("| --- | --- | --- | --- | --- | --- |")
    for bundle in given.bundles or [BUNDLED / "mobile-sam"]:
        for precision in (each for each in PRECISIONS if each in open_bundle(bundle).precisions):
            here, _ = _segment([sys.executable], bundle, precision, given.long_side)
            there, seconds = _segment(emulator, bundle, precision, given.long_side)
            ours, theirs = (read_image(Path(each["file"])).any(axis=2) for each in (here, there))
            iou = np.count_nonzero(ours & theirs) / max(1, np.count_nonzero(ours | theirs))
            failed |= iou < LEAST.get(precision, LEAST_EXACT)
            scores = f"{here['score']:.4f}, ARM {there['score']:.4f}"
            different = f"{np.count_nonzero(ours ^ theirs)} of {ours.size}"
            print(f"| {bundle.name} | {precision} | {iou:.5f} | {different} | {scores} | {seconds:.0f} |", flush=True)
    return int(failed)


def _prepare() -> list[str]:
    """Fetch what is missing. Returns the command that runs the ARM Python."""
    python = EMULATED / "usr" / "bin" / "python3"
    if not python.exists():
        _unpack("arm64", ("python3", "libstdc++6"), EMULATED)
    qemu = shutil.which("qemu-aarch64-static") or HERE / "host" / "usr" / "bin" / "qemu-aarch64-static"
    if not Path(qemu).exists():
        _unpack(None, ("qemu-user-static",), HERE / "host")
    emulator = [str(qemu), "-L", str(EMULATED), str(python)]
    if not PACKAGES.exists():
        code = "import sys; print('%d.%d' % sys.version_info[:2])"
        version = subprocess.run([*emulator, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        _install(version)
    return emulator


def _unpack(architecture: str | None, names: Sequence[str], folder: Path) -> None:
    """Download Debian packages with what they depend on, and unpack them below a folder. Nothing is installed."""
    apt = HERE / "apt" / (architecture or "host")
    for each in ("state/lists/partial", "cache/archives/partial"):
        (apt / each).mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    options = [f"Dir::State={apt}/state", f"Dir::State::status={apt}/status", f"Dir::Cache={apt}/cache"]
    options += ["APT::Sandbox::User=root", "Acquire::Languages=none", "Dir::Etc::sourceparts=-"]
    sources = Path("/etc/apt/sources.list.d/debian.sources")  # Without those of third parties, which lack ARM.
    options += [f"Dir::Etc::sourcelist={sources}"] if sources.exists() else []
    options += [f"APT::Architecture={architecture}"] if architecture else []
    command = ["apt-get", "-qq", *(word for option in options for word in ("-o", option))]
    subprocess.run([*command, "update"], check=True)
    wanted = ["install", "--yes", "--download-only", "--no-install-recommends", *names]
    if architecture is None:
        wanted = ["download", *names]  # It is static, and needs nothing.
    subprocess.run([*command, *wanted], check=True, cwd=apt / "cache" / "archives")
    partial = _empty(folder.with_suffix(".part"))
    for package in sorted((apt / "cache" / "archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "--extract", package, partial], check=True)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _empty(folder: Path) -> Path:
    """Make an empty folder, in place of one that an interrupted run left."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _install(python: str) -> None:
    """Install the core requirements for an ARM Python of this version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
    pip += ["--implementation=cp", f"--python-version={python}", *(f"--platform={tag}" for tag in WHEELS)]
    partial = _empty(PACKAGES.with_suffix(".part"))
    subprocess.run([*pip, f"--target={partial}", *project["dependencies"], *PINNED], check=True)
    partial.rename(PACKAGES)


def _segment(python: list[str], bundle: Path, precision: str, long_side: int) -> tuple[dict[str, Any], float]:
    """Segment the photograph with a Python. Returns the mask's entry in the report, and the seconds that it took."""
    emulated = python[0] != sys.executable
    home = HERE / ("home-arm" if emulated else "home-here")
    # A bundle of the cache is tried in the same process. The emulator cannot start another.
    known = home / "bundles" / bundle.name
    shutil.rmtree(known, ignore_errors=True)  # The bundle may have been made anew.
    shutil.copytree(bundle, known)
    paths = [str(ROOT), *([str(PACKAGES)] if emulated else [])]
    environment = {**os.environ, "EDGE_SAM_HOME": str(home), "PYTHONPATH": os.pathsep.join(paths)}
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # They name a processor of this machine.
        environment.pop(name, None)
    output = HERE / "masks" / home.name / f"{bundle.name}-{precision}"
    command = [*python, "-m", "edge_sam", "segment", str(PHOTOGRAPH), *PROMPT, "--model", str(known), "--json"]
    command += ["--precision", precision, "--long-side", str(long_side), "--output", str(output)]
    command += ["--runtime", "onnxruntime", "--strict"]
    start = time.perf_counter()
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    report = json.loads(done.stdout)
    mask: dict[str, Any] = report["masks"][0]
    return mask, time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
