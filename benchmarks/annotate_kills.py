"""Kill a run of `edge-sam annotate` at random moments, and compare its data set with that of an undisturbed run.

    python benchmarks/annotate_kills.py SOURCE --prompts FILE --output DIR [--kills 5] [--seed 0] [--workers 2]
    python benchmarks/annotate_kills.py --make 10000 --output DIR --long-side 64

The script sends SIGKILL when a random number of photographs is done and a random fraction of a second has passed, in
turn to the parent alone (its workers must end by themselves) and to all processes. The first kill comes before the
first photograph is done, the last one when all are done and the data set is being written. Then it starts the same
command again. At the end the two files must be equal byte for byte, no record may have been written twice, and no
temporary file may be left.

With ``--make N`` the photographs are N small crops of those in `examples/`, with two boxes each.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np

PHOTOGRAPHS = sorted((Path(__file__).parent.parent / "examples" / "photographs").glob("*.png"))
CROP = 64, 48
"""Width and height of a photograph of ``--make``."""


def make_photographs(folder: Path, count: int, dice: random.Random) -> tuple[str, str]:
    """Write crops and a file of boxes, unless they are there. Returns the source and the file."""
    boxes, (width, height) = folder / f"boxes-{count}.csv", CROP
    if not boxes.exists():
        pictures = [np.asarray(cv2.imread(str(path))) for path in PHOTOGRAPHS]
        rows = ["image,x0,y0,x1,y1,category"]
        for number in range(count):
            picture = dice.choice(pictures)
            x, y = dice.randrange(picture.shape[1] - width), dice.randrange(picture.shape[0] - height)
            name = f"{number // 1000:03d}/{number:06d}.jpg"
            file = folder / "photographs" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(file), np.ascontiguousarray(picture[y : y + height, x : x + width]))
            rows += [f"{name},4,4,40,44,left", f"{name},20,8,60,40,right"]
        boxes.write_text("\n".join(rows))
    return str(folder / "photographs"), str(boxes)


def records(output: Path) -> dict[Path, int]:
    """Return the existing records and their times of writing."""
    files = Path(f"{output}.work", "records").glob("*/*.json")
    return {file: file.stat().st_mtime_ns for file in files}


def count_records(output: Path) -> int:
    """Count the existing records."""
    return sum(1 for _ in Path(f"{output}.work", "records").glob("*/*.json"))


def start(arguments: argparse.Namespace, output: Path) -> subprocess.Popen[bytes]:
    """Start a run in its own process group."""
    command = [sys.executable, "-c", "from edge_sam.cli import main; main()", "annotate", arguments.source]
    options = ["--prompts", arguments.prompts, "--output", str(output), "--workers", str(arguments.workers)]
    if arguments.long_side:
        options += ["--long-side", str(arguments.long_side)]
    return subprocess.Popen([*command, *options], start_new_session=True, stdout=subprocess.DEVNULL)


def kill_when(process: subprocess.Popen[bytes], output: Path, count: int, delay: float, whole_group: bool) -> bool:
    """Wait for `count` records and another `delay` seconds, then kill. Returns False if the run had ended."""
    looked = 0.0
    while True:
        begin = time.perf_counter()
        if count_records(output) >= count:
            break
        if process.poll() is not None:
            raise SystemExit(f"the run ended by itself with code {process.returncode}")
        looked = time.perf_counter() - begin
        time.sleep(max(0.01, 10 * looked))  # Looking must not take the time of the workers.
    time.sleep(delay)
    ended = process.poll() is not None
    if whole_group and not ended:
        os.killpg(process.pid, signal.SIGKILL)
    elif not ended:
        process.kill()
    process.wait()
    return not ended


def main() -> None:
    """Run, kill, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?")
    parser.add_argument("--prompts")
    parser.add_argument(
        "--output", type=Path, required=True, help="Folder for both data sets. An existing undisturbed one is reused."
    )
    parser.add_argument("--make", type=int)
    parser.add_argument("--long-side", type=int)
    parser.add_argument("--kills", type=int, default=5, choices=range(2, 1000), metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    dice = random.Random(arguments.seed)
    if arguments.make:
        arguments.source, arguments.prompts = make_photographs(arguments.output, arguments.make, dice)
    if not (arguments.source and arguments.prompts):
        parser.error("give SOURCE and --prompts, or --make")
    undisturbed, killed = arguments.output / "undisturbed.json", arguments.output / "killed.json"
    begin = time.perf_counter()
    if not undisturbed.exists():
        if start(arguments, undisturbed).wait():
            raise SystemExit("the undisturbed run failed")
        print(f"undisturbed: {time.perf_counter() - begin:.0f} s", flush=True)
    for left in (killed, killed.with_name(f"{killed.name}.work")):  # Of an earlier run.
        shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    total = count_records(undisturbed)
    points = sorted([0, *dice.sample(range(1, total), arguments.kills - 2), total])
    kept: dict[Path, int] = {}
    rewritten: set[Path] = set()
    for number, count in enumerate(points):
        process = start(arguments, killed)
        delay = dice.random() * (0.5 if count else 2)  # Until the first photograph the model is loaded.
        done = kill_when(process, killed, count, delay, whole_group=number % 2 == 1)
        now = records(killed)
        rewritten |= {file for file, when in kept.items() if now.get(file) != when}
        kept = now
        how = "killed" if done else "ended before the kill"
        print(f"{how} at {len(kept)} of {total} photographs; {len(rewritten)} done twice or lost", flush=True)
        killed.unlink(missing_ok=True)
    if start(arguments, killed).wait():
        raise SystemExit("the last run failed")
    now = records(killed)
    rewritten |= {file for file, when in kept.items() if now.get(file) != when}
    left = [path for path in arguments.output.rglob("*.part") if path.is_file()]
    equal = undisturbed.read_bytes() == killed.read_bytes()
    print(
        f"{total} photographs, {len(points)} kills: {'equal' if equal else 'DIFFERENT'}; {len(rewritten)} done twice or"
        f" lost; {len(left)} temporary files left; {time.perf_counter() - begin:.0f} s"
    )
    raise SystemExit(0 if equal and not rewritten and not left else 1)


if __name__ == "__main__":
    main()
