"""What the package takes: megabytes installed by extra, and start-up and memory by model and size.

    python benchmarks/footprint.py installed
    python benchmarks/footprint.py running mobile-sam [BUNDLE ...] [--precision w16,int8] [--long-side 512,768,1024]

`installed` adds up the files of the distributions in this environment, so run it where the extras are installed.
`running` starts a process for each line, which loads the model, reads a photograph and answers one click. Processor
seconds depend less than seconds on what else the machine does.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import resource
import subprocess
import sys
import time
from importlib import metadata
from itertools import product
from pathlib import Path

from packaging.requirements import Requirement

from edge_sam.benchmark.process import WorkerError, WorkerProcess
from edge_sam.evaluation.variant import Variant

PHOTOGRAPH = Path(__file__).parent.parent / "examples" / "photographs" / "rocket.jpg"
PYTHON_ALONE = ("numpy", "opencv-python-headless", "onnxruntime", "msgspec", "pillow", "platformdirs")
"""Distributions that `edge_sam.load`, `encode` and `predict` need (docs/boards.md)."""
_HELP = ("rich", "markdown-it-py", "mdurl", "pygments")
_BEFORE_3_11 = ("typing-extensions",) if sys.version_info < (3, 11) else ()
COMMAND_LINE = (*PYTHON_ALONE, "cyclopts", "attrs", "docstring-parser", *_BEFORE_3_11, *_HELP, "pycocotools")
"""The same for `edge-sam segment`."""
EXTRAS = ("openvino", "serve", "text", "video", "heif", "quantize", "export")
NOT_COUNTED = {"torch"}
"""Its size depends on where it comes from: below 1 GB for the CPU, several with CUDA."""
FOLDERS = ("edge_sam", "edge_sam.export", "edge_sam.quantize", "edge_sam.runtimes")
COMMANDS = {"`import edge_sam`": ["-c", "import edge_sam"], "`edge-sam --version`": ["-m", "edge_sam", "--version"]}


def bytes_of(name: str) -> int:
    """Return the bytes of an installed distribution's files, compiled Python included."""
    found = metadata.distribution(name)
    paths = {Path(str(found.locate_file(file))) for file in found.files or ()}
    return sum(path.stat().st_size for path in paths if path.is_file())


def own_bytes() -> int:
    """Return the bytes of this package's folders, wherever they lie."""
    files: set[Path] = set()
    for name in FOLDERS:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.submodule_search_locations is not None
        files.update(path for path in Path(spec.submodule_search_locations[0]).rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files)


def closure(name: str, extras: set[str]) -> set[str]:
    """Return the names of all distributions that one needs with these extras, without itself."""
    found: set[str] = set()
    waiting = [(name, extras)]
    while waiting:
        current, wanted = waiting.pop()
        for text in metadata.requires(current) or ():
            needed = Requirement(text)
            marker = needed.marker
            if marker is not None and not any(marker.evaluate({"extra": each}) for each in ("", *wanted)):
                continue
            key = re.sub(r"[-_.]+", "-", needed.name).lower()
            if key not in found | NOT_COUNTED:
                found.add(key)
                waiting.append((key, set(needed.extras)))
    return found


def installed() -> None:
    """Print the megabytes of each set of packages."""
    ours, core = own_bytes(), closure("edge-sam", set())
    rows = {
        "Python alone, `--no-deps`": set(PYTHON_ALONE),
        "command line, `--no-deps`": set(COMMAND_LINE),
        "core": core,
    }
    print("| installed | packages | MB | of these beyond the core |")
    print("| --- | --- | --- | --- |")
    for extra in EXTRAS:
        try:
            names = closure("edge-sam", {extra})
        except metadata.PackageNotFoundError as error:
            print(f"{extra} is not installed here: {error}", file=sys.stderr)
            continue
        without = " without torch" if extra == "export" else ""
        rows[f"core and `{extra}`{without}"] = names
    for label, names in rows.items():
        megabytes = (ours + sum(map(bytes_of, names))) / 1e6
        more = sum(map(bytes_of, names - core)) / 1e6
        print(f"| {label} | {len(names) + 1} | {megabytes:.0f} | {more:.0f} |")
    print("\nlargest of the core:", end=" ")
    largest = sorted(((bytes_of(name) / 1e6, name) for name in core), reverse=True)[:6]
    print(", ".join(f"{name} {megabytes:.0f}" for megabytes, name in largest), f"edge-sam {ours / 1e6:.0f}", sep=", ")


def running(given: argparse.Namespace) -> None:
    """Print start-up and memory of each variant."""
    print("| command | s | processor s |")
    print("| --- | --- | --- |")
    for name, command in COMMANDS.items():
        start, spent = time.perf_counter(), _processor_seconds()
        subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
        print(f"| {name} | {time.perf_counter() - start:.2f} | {_processor_seconds() - spent:.2f} |")
    print("\n| model | precision | runtime | long side | ready after s | processor s to the click | peak MiB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    sides = [int(side) for side in given.long_side.split(",")]
    for model, precision, runtime, side in product(given.models, given.precision.split(","), given.runtime, sides):
        variant = Variant(model, runtime=runtime, precision=precision, long_side=side, threads=given.threads)
        spent = _processor_seconds()
        try:
            worker = WorkerProcess(variant, [PHOTOGRAPH])
        except WorkerError as error:
            print(f"{model} {precision} {runtime}: {error}", file=sys.stderr)
            continue
        worker.run(0)
        peak = worker.finish()
        seconds = f"{worker.load_wall_ms / 1000:.2f} | {_processor_seconds() - spent:.2f}"
        print(f"| {Path(model).name} | {precision} | {runtime} | {side} | {seconds} | {peak:.0f} |", flush=True)


def _processor_seconds() -> float:
    """Return the processor seconds of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    commands.add_parser("installed").set_defaults(run=lambda _: installed())
    run = commands.add_parser("running")
    run.add_argument("models", nargs="+")
    run.add_argument("--precision", default="w16")
    run.add_argument("--long-side", default="512,768,1024")
    run.add_argument("--runtime", action="append")
    run.add_argument("--threads", type=int)
    run.set_defaults(run=running)
    given = parser.parse_args()
    if "runtime" in given:
        given.runtime = given.runtime or ["onnxruntime"]
    given.run(given)


if __name__ == "__main__":
    main()
