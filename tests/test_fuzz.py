"""No file may crash the process, hang, take much memory, write to stderr or raise anything but `InputError`.

Each target runs on its corpus and on mutations of it, the same at every call; docs/lab/fuzzing.md tells more.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz.targets import TARGETS
from fuzz.worker import CORPUS

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(sys.platform != "linux", reason="limits and peak memory are Linux's"),
]
RUNS = {"checkpoint": 500, "embedding": 800, "graph": 500}
"""Mutations; of the other targets 1500. All together take half a minute of a processor."""


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(CORPUS.parents[1])}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("name", TARGETS)
def test_only_input_errors_come_of_what_others_wrote(name: str, tmp_path: Path) -> None:
    if name in ("checkpoint", "graph") and importlib.util.find_spec("torch") is None:
        pytest.skip("needs torch")
    done = python("-m", "fuzz", name, "--runs", str(RUNS.get(name, 1500)), "--found", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("body", "status", "sign"),
    [
        ("pass", 0, ""),
        ("raise InputError", 0, ""),
        ("raise KeyError", 1, "KeyError"),
        ("os.abort()", -6, "Aborted"),
        ("while True: pass", -27, "most recent call first"),
        ("bytes(1) * (100 << 20)", 1, "it takes more than"),
        ("os.write(2, b'noise')", 1, "it writes to stderr: b'noise'"),
        ("warnings.warn('noise')", 1, "it writes to stderr"),
    ],
)
def test_the_limits_hold(tmp_path: Path, body: str, status: int, sign: str) -> None:
    program = f"""
import os, sys, warnings
from edge_sam.errors import InputError
from fuzz import targets, worker
def target(data, folder):
    if data:
        {body}
targets.TARGETS["manifest"] = target
worker.SECONDS, worker.BYTES = 0.5, 60 << 20
sys.argv[1:] = [{str(tmp_path)!r}, "manifest", "5"]
worker.main()
"""
    done = python("-c", program)
    assert done.returncode == status, done.stderr
    assert sign in done.stderr
    assert (tmp_path / "input").read_bytes()


def test_the_corpus_is_small() -> None:
    files = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert {path.parent.name for path in files} == set(TARGETS)
    assert sum(path.stat().st_size for path in files) < 200_000
