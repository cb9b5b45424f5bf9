"""Rough situations: full and read-only disks, jumps of the clock, many processes on one cache, other versions.

    python benchmarks/rough.py [--only disk,read-only,cache,clock,versions] [--old FOLDER]

Prints a line for each situation. Exit code 1 means that a command failed with more or less than one line of error, left
an incomplete file, lost something, or answered otherwise than when nothing disturbs it.

- ``disk`` and ``read-only`` mount file systems in a mount namespace, which nothing else sees. They need Linux and the
  right to make one (`unshare`).
- ``clock`` moves what Python tells as the time of day. Nothing in edge_sam reads it elsewhere. (Debian's libfaketime
  0.9.10 makes every `time.sleep` of Python 3.11 fail, so it is of no use here.)
- ``versions`` needs a folder with another version: ``pip install --no-deps --target FOLDER`` of an older state.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from rough_commands import COFFEE, PHOTOGRAPHS, SEGMENT, Report, content, finish, run, start
from rough_disk import full, read_only

from edge_sam.bundles.bundle import BUNDLED

_PROCESSES = 8
_FRAMES = 20
"""Of the video."""
_JUMPS = (86400, -172800, 34560000, -3600, 0)
"""Seconds from the true time to where the clock is, in turn."""
_NAMESPACES: dict[str, Callable[[Path, Report], None]] = {"disk": full, "read-only": read_only}
_CLOCK = """
import time
from pathlib import Path
_true, _true_ns = time.time, time.time_ns
def _offset():
    return float(Path({stamp!r}).read_text() or 0)
time.time = lambda: _true() + _offset()
time.time_ns = lambda: _true_ns() + int(_offset() * 1e9)
"""
"""Python imports it at the start of each process as `sitecustomize`."""


def prepare(folder: Path) -> None:
    """Write what the commands read: photographs, boxes, a video, and a copy of a bundle."""
    (folder / "photos").mkdir()
    for name in ("coffee.png", "chelsea.png", "astronaut.png"):
        shutil.copy(PHOTOGRAPHS / name, folder / "photos")
    (folder / "boxes.csv").write_text("image,x0,y0,x1,y1\ncoffee.png,76,18,478,390\nchelsea.png,90,20,300,290\n")
    shutil.copytree(BUNDLED / "mobile-sam", folder / "bundle")
    picture = np.asarray(cv2.resize(np.asarray(cv2.imread(str(COFFEE))), (192, 128), interpolation=cv2.INTER_AREA))
    writer = cv2.VideoWriter(str(folder / "walk.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (192, 128))
    for i in range(_FRAMES):
        writer.write(np.roll(picture, i, axis=1))
    writer.release()


def cache(folder: Path) -> tuple[list[str], str]:
    """Let eight processes fill one empty cache at once."""
    home = {"EDGE_SAM_HOME": str(folder / "shared")}
    outputs = [folder / f"masks-{i}" for i in range(_PROCESSES)]
    runtime = ("--runtime", "openvino", "--strict")
    begun = [start(*SEGMENT, str(output), *runtime, cwd=folder, environment=home) for output in outputs]
    ended = [finish(process) for process in begun]
    faults = [done.stderr.strip() or done.line for done in ended if done.code or _surprise(done.stderr)]
    waited = sum("waiting for another load" in done.stderr for done in ended)
    if len({json.dumps(content(output), sort_keys=True) for output in outputs}) != 1:
        faults.append("the masks differ")
    verdicts = list((folder / "shared" / "guard").glob("*.json"))
    named = json.loads(verdicts[0].read_text())["compiled"] if len(verdicts) == 1 else {}
    compiled = folder / "shared" / "compiled"
    found = {
        str(file.relative_to(compiled / file.relative_to(compiled).parts[0])): digest(file)
        for file in compiled.rglob("*.blob")
    }
    if not found or named != found:
        faults.append("the verdict names other files than there are")
    return (
        faults,
        f"{_PROCESSES} processes, {len(found)} compiled files, {len(verdicts)} verdict, the same masks; {waited} said"
        " that they wait",
    )


def _surprise(stderr: str) -> bool:
    """Tell whether something else is on standard error than the line of a process that waits long for another."""
    return any("waiting for another load" not in line for line in stderr.splitlines())


def digest(file: Path) -> str:
    """Return the sha256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def versions(folder: Path, old: Path) -> tuple[list[str], str]:
    """Let an older version and this one use a cache in turn, and then fill another one at once."""
    faults = []
    expected: dict[str, dict[str, str]] = {}

    def masks(done_by: str, home: str, name: str) -> subprocess.Popen[str]:
        environment = {"EDGE_SAM_HOME": str(folder / home), **({"PYTHONPATH": str(old)} if done_by == "old" else {})}
        output = folder / name
        return start(*SEGMENT, str(output), "--runtime", "openvino", cwd=folder, environment=environment)

    def check(by: str, name: str, process: subprocess.Popen[str]) -> None:
        done = finish(process)
        if done.code or _surprise(done.stderr):
            faults.append(f"{name}: {done.line} {done.stderr.strip()}")
        elif expected.setdefault(by, content(folder / name)) != content(folder / name):
            faults.append(f"{name}: other masks")

    for by in ("old", "new"):
        check(by, f"alone-{by}", masks(by, f"home-{by}", f"alone-{by}"))
    for number, by in enumerate(("old", "new", "old", "new")):
        check(by, f"turn-{number}", masks(by, "in-turn", f"turn-{number}"))
    begun = [(by, f"side-{by}-{i}") for i in range(3) for by in ("old", "new")]
    for (by, name), process in [(each, masks(each[0], "side", each[1])) for each in begun]:
        check(by, name, process)
    for by in ("old", "new"):
        check(by, f"after-{by}", masks(by, "side", f"after-{by}"))
    return faults, f"in turn on one cache, and {len(begun)} processes at once; each answers as with a cache of its own"


def clock(folder: Path) -> tuple[list[str], str]:
    """Let the clock jump by days while commands run, and compare with what they write when it does not."""
    video, box = str(folder / "walk.mp4"), ("--box", "24,6,152,124")
    stamp = folder / "clock"
    stamp.write_text("0")
    (folder / "jumping").mkdir()
    (folder / "jumping" / "sitecustomize.py").write_text(_CLOCK.format(stamp=str(stamp)))
    jumping = {"PYTHONPATH": str(folder / "jumping")}
    commands = {
        "camera": ("camera", video, *box, "--every-frame", "--masks", "{out}/masks"),
        "live": ("camera", video, *box, "--source-fps", "5", "--video", "{out}/live.avi"),
        "annotate": (
            "annotate",
            str(folder / "photos"),
            "--prompts",
            str(folder / "boxes.csv"),
            "--output",
            "{out}/a.json",
        ),
    }
    over, jumps, faults = threading.Event(), 0, []

    def jump() -> None:
        nonlocal jumps
        while not over.wait(0.4):
            stamp.write_text(str(_JUMPS[jumps % len(_JUMPS)]))
            jumps += 1

    thread = threading.Thread(target=jump)
    thread.start()
    try:
        for name, arguments in commands.items():
            made = []
            for out, environment in ((folder / f"{name}-true", {}), (folder / f"{name}-jumps", jumping)):
                out.mkdir()
                done = run(
                    *(part.replace("{out}", str(out)) for part in arguments), cwd=folder, environment=environment
                )
                if done.code or done.fault:
                    faults.append(f"{name}: {done.line}")
                made.append(out)
            if name == "live":
                lengths = [int(cv2.VideoCapture(str(out / "live.avi")).get(cv2.CAP_PROP_FRAME_COUNT)) for out in made]
                if not 0 < lengths[1] <= 2 * _FRAMES:  # How many are dropped depends on the machine.
                    faults.append(f"live: a video of {lengths[1]} frames; {lengths[0]} without jumps")
            elif content(made[0]) != content(made[1]):
                faults.append(f"{name}: other files")
    finally:
        over.set()
        thread.join()
    return faults, f"{jumps} jumps during {', '.join(commands)}"


def in_namespace(name: str, folder: Path) -> bool:
    """Run a situation in a mount namespace. Returns whether it went well."""
    root = [] if os.getuid() == 0 else ["--map-root-user"]
    command = ["unshare", *root, "--mount", "--propagation", "private", sys.executable, __file__]
    return not subprocess.run([*command, "--inside", name, "--folder", str(folder)], check=False).returncode


def main() -> int:
    """Run the situations."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="disk,read-only,cache,clock,versions")
    parser.add_argument("--old", type=Path)
    parser.add_argument("--inside", choices=_NAMESPACES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.old = given.old and given.old.resolve()  # The commands run in another folder.
    report = Report()
    if given.inside:
        _NAMESPACES[given.inside](given.folder, report)
        return int(report.failed)
    wanted = given.only.split(",")
    well = True
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare(folder)
        for name in _NAMESPACES:
            well = (in_namespace(name, folder) if name in wanted else True) and well
        if "cache" in wanted:
            report.timed("one cache", lambda: cache(folder))
        if "clock" in wanted:
            report.timed("clock", lambda: clock(folder))
        if "versions" in wanted and given.old:
            report.timed("two versions", lambda: versions(folder, given.old))
    if "versions" in wanted and not given.old:
        print("left out: versions; see --help")
    return int(report.failed or not well)


if __name__ == "__main__":
    raise SystemExit(main())
