"""Full and read-only disks. Run inside a mount namespace of its own; see `rough.py`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from rough_commands import PHOTOGRAPHS, SEGMENT, Done, Report, content, run

_PAGE = 4096
_FEW = 6
"""Largest number of fill levels of a command."""


class Job(NamedTuple):
    """A command that writes to the disk.

    Attributes
    ----------
    name : str
    arguments : tuple of str
        ``{disk}`` stands for the disk, ``{in}`` for the folder of the input.
    lines : bool
        Its standard output goes to the disk as JSON lines. No file of it is comparable.
    environment : tuple of (str, str)
        Variables; ``{disk}`` as above.
    optional : bool
        The command does without what it cannot write.
    megabytes : int
        Size of the disk.
    """

    name: str
    arguments: tuple[str, ...]
    lines: bool = False
    environment: tuple[tuple[str, str], ...] = ()
    optional: bool = False
    megabytes: int = 8


_ANNOTATE = ("annotate", "{in}/photos", "--prompts", "{in}/boxes.csv", "--long-side", "256", "--workers", "1")
_ON_DISK = ("EDGE_SAM_HOME", "{disk}/cache")
JOBS = (
    Job("segment", (*SEGMENT, "{disk}/out", "--save-logits")),
    Job("annotate (COCO)", (*_ANNOTATE, "--output", "{disk}/set.json")),
    Job(
        "everything",
        (
            *("everything", "{in}/photos/coffee.png", "--long-side", "256", "--points-per-side", "4"),
            *("--output", "{disk}/out"),
        ),
    ),
    Job("annotate (SA-1B)", (*_ANNOTATE, "--output", "{disk}/set")),
    Job("encode", ("encode", "{in}/photos", "--long-side", "256", "--output", "{disk}/embeddings")),
    Job("camera --masks", ("camera", "{in}/walk.mp4", "--box", "24,6,152,124", "--every-frame", "--masks", "{disk}/m")),
    Job("camera --json", ("camera", "{in}/walk.mp4", "--box", "24,6,152,124", "--every-frame", "--json"), lines=True),
    Job(
        "a cache on the disk, openvino",
        (*SEGMENT, "{in}/masks", "--runtime", "openvino", "--strict"),
        environment=(_ON_DISK,),
        optional=True,
        megabytes=128,
    ),
    Job(
        "a new bundle, cache and temporary files on the disk",
        (*SEGMENT, "{in}/masks", "--model", "{in}/bundle"),
        environment=(_ON_DISK, ("TMPDIR", "{disk}")),
        optional=True,
    ),
)


def full(folder: Path, report: Report) -> None:
    """Run each command on a disk that gets full in each of the files that it writes."""
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "edge-sam-rough", str(disk)], check=True)
    for job in JOBS:
        subprocess.run(["mount", "-o", f"remount,size={job.megabytes}m", str(disk)], check=True)
        report.timed(f"disk full, {job.name}", partial(_fill, job, disk, folder))
        _empty(disk)
    subprocess.run(["umount", str(disk)], check=True)


def _fill(job: Job, disk: Path, given: Path) -> tuple[list[str], str]:
    whole = _run(job, disk, given)
    expected, order = content(disk), sorted(_sizes(disk), key=lambda file: file.stat().st_mtime_ns)
    faults = [f"it fails with room: {whole.line}"] if whole.code else []
    if job.optional:
        expected = {}
    levels, failures = list(_levels([_pages(file) for file in order])), list[str]()
    for level in levels:
        _empty(disk)
        _leave(disk, level)
        done = _run(job, disk, given)
        where = f"with {level >> 10} KiB"
        if job.optional:
            faults += [f"{where}: {done.line}"] if done.code or done.fault else []
        else:
            faults += [f"{where}: {done.fault}"] if done.fault else []
            faults += [f"{where}: {left}" for left in _unfinished(disk, expected, job)]
            failures += [done.line] if done.code else []
        (disk / "filler").unlink()
        done = _run(job, disk, given)  # There is room again.
        if done.code:
            faults.append(f"{where}, then with room: {done.line}")
        elif expected and not job.lines and content(disk) != expected:
            faults.append(f"{where}, then with room: another result")
    kinds = sorted({line.partition(" (")[0].removeprefix("error: ") for line in failures})
    told = f"{len(levels)} levels, {len(failures)} failures" + (f": {', '.join(kinds)}" if kinds else "")
    return faults, told


def _unfinished(disk: Path, expected: dict[str, str], job: Job) -> list[str]:
    """List files that a failed command has left incomplete. A working folder may have parts, for the next run."""
    if job.lines:
        text = (disk / "lines").read_text()
        try:
            [json.loads(line) for line in text.splitlines()]
        except ValueError:
            return ["a line is incomplete"]
        return [] if not text or text.endswith("\n") else ["the last line is incomplete"]
    left = []
    for name, digest in content(disk).items():
        inside = name.split("/")[0].endswith(".work")
        if name != "filler" and expected.get(name) != digest and not inside:
            left.append(f"{name} is incomplete")
    return left


def _run(job: Job, disk: Path, given: Path) -> Done:
    def filled(text: str) -> str:
        return text.replace("{disk}", str(disk)).replace("{in}", str(given))

    environment = {name: filled(value) for name, value in job.environment}
    stdout = disk / "lines" if job.lines else None
    return run(*map(filled, job.arguments), cwd=given, stdout=stdout, environment=environment)


def _levels(files: list[int]) -> Iterator[int]:
    """Yield bytes of free space: nothing, the middle of each file in the order of writing, one page too few."""
    total, done = sum(files), 0
    middles = []
    for size in files:
        middles.append(done + size // 2 // _PAGE * _PAGE)
        done += size
    step = max(1, -(-len(middles) // (_FEW - 2)))
    yield from dict.fromkeys([0, *middles[::step], max(0, total - _PAGE)])


def _pages(file: Path) -> int:
    return -(-file.stat().st_size // _PAGE) * _PAGE


def _sizes(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _leave(disk: Path, free: int) -> None:
    """Fill the disk but for so many bytes."""
    status = os.statvfs(disk)
    with (disk / "filler").open("wb") as filler:
        os.posix_fallocate(filler.fileno(), 0, max(1, status.f_bavail * status.f_frsize - free))


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def read_only(folder: Path, report: Report) -> None:
    """Make every file system read-only, then ask for things that need no writing and for things that do."""
    disks = {"ext4", "xfs", "btrfs", "overlay", "tmpfs", "9p", "virtiofs", "fuse", "zfs", "f2fs"}
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind.partition(".")[0] in disks:
            subprocess.run(["mount", "-o", "remount,bind,ro", place], check=False, capture_output=True)
    try:
        with tempfile.TemporaryFile():
            raise SystemExit("a folder for temporary files can still be written")
    except OSError:
        pass
    home = {"EDGE_SAM_HOME": str(folder / "empty")}
    asked: list[tuple[str, tuple[str, ...], int, dict[str, str]]] = [
        ("models", ("models",), 0, {}),
        ("doctor", ("doctor",), 0, {}),
        ("doctor, no cache", ("doctor",), 0, home),
        ("camera --json", ("camera", f"{folder}/walk.mp4", "--box", "24,6,152,124", "--every-frame", "--json"), 0, {}),
        ("camera --json, no cache", ("camera", f"{folder}/walk.mp4", "--box", "24,6,152,124", "--json"), 0, home),
        (
            "camera --json, a bundle of the user's, no cache",
            ("camera", f"{folder}/walk.mp4", "--box", "24,6,152,124", "--json", "--model", f"{folder}/bundle"),
            0,
            home,
        ),
        ("segment", (*SEGMENT, f"{folder}/new"), 2, {}),
        ("annotate", ("annotate", str(PHOTOGRAPHS), "--output", f"{folder}/new.json"), 2, {}),
        ("encode", ("encode", str(PHOTOGRAPHS), "--output", f"{folder}/new"), 2, {}),
        ("camera --masks", ("camera", f"{folder}/walk.mp4", "--box", "1,1,9,9", "--masks", f"{folder}/new"), 2, {}),
        ("serve, no cache", ("serve", "--port", "0"), 2, home),
    ]
    for name, arguments, code, environment in asked:
        report.timed(f"read-only, {name}", partial(_ask, folder, arguments, code, environment))


def _ask(folder: Path, arguments: tuple[str, ...], code: int, environment: dict[str, str]) -> tuple[list[str], str]:
    done = run(*arguments, cwd=folder, environment=environment)
    faults = [done.fault] if done.fault else []
    return faults + ([] if done.code == code else [f"expected {code}"]), done.line
