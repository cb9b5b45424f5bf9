"""Kill a run of `edge-sam annotate` at random moments, and compare its data set with that of an undisturbed run.

    python benchmarks/annotate_kills.py SOURCE --prompts FILE --output DIR [--kills 5] [--seed 0] [--workers 2]

The script sends SIGKILL when a random number of photographs is done and a random fraction of a second has passed, in
turn to the parent alone (its workers must end by themselves) and to all processes. Then it starts the same command
again. At the end the two files must be equal byte for byte, and no record may have been written twice.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path


def records(output: Path) -> dict[Path, int]:
    """Return the existing records and their times of writing."""
    files = Path(f"{output}.work", "records").glob("*/*.json")
    return {file: file.stat().st_mtime_ns for file in files}


def start(arguments: argparse.Namespace, output: Path) -> subprocess.Popen[bytes]:
    """Start a run in its own process group."""
    command = [sys.executable, "-c", "from edge_sam.cli import main; main()", "annotate", arguments.source]
    options = ["--prompts", arguments.prompts, "--output", str(output), "--workers", str(arguments.workers)]
    return subprocess.Popen([*command, *options], start_new_session=True)


def kill_when(process: subprocess.Popen[bytes], output: Path, count: int, delay: float, whole_group: bool) -> None:
    """Wait for `count` records and another `delay` seconds, then kill."""
    while len(records(output)) < count:
        if process.poll() is not None:
            raise SystemExit(f"the run ended by itself with code {process.returncode}")
        time.sleep(0.01)
    time.sleep(delay)
    if whole_group:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def main() -> None:
    """Run, kill, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--prompts", required=True)
    parser.add_argument(
        "--output", type=Path, required=True, help="Folder for both data sets. An existing undisturbed one is reused."
    )
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    undisturbed, killed = arguments.output / "undisturbed.json", arguments.output / "killed.json"
    if not undisturbed.exists() and start(arguments, undisturbed).wait():
        raise SystemExit("the undisturbed run failed")
    total = len(records(undisturbed))
    dice = random.Random(arguments.seed)
    points = sorted(dice.sample(range(1, total), arguments.kills))
    kept: dict[Path, int] = {}
    for number, count in enumerate(points):
        process = start(arguments, killed)
        kill_when(process, killed, count, dice.random() / 2, whole_group=number % 2 == 1)
        rewritten = [file for file, when in kept.items() if records(killed)[file] != when]
        kept = records(killed)
        print(f"killed at {len(kept)} of {total} photographs; {len(rewritten)} done twice", flush=True)
    if start(arguments, killed).wait():
        raise SystemExit("the last run failed")
    rewritten = [file for file, when in kept.items() if records(killed)[file] != when]
    equal = undisturbed.read_bytes() == killed.read_bytes()
    print(f"{total} photographs, {len(points)} kills: {'equal' if equal else 'DIFFERENT'}; {len(rewritten)} done twice")
    raise SystemExit(0 if equal and not rewritten else 1)


if __name__ == "__main__":
    main()
