"""Runtimes use what this process may use: its CPUs and its share of their time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_doctor import fake_root

from edge_sam.runtimes import why_unusable
from edge_sam.runtimes.cores import crowded, default_threads, usable_cores

THREADS = """
import pathlib, re, sys
import numpy as np
import edge_sam

predictor = edge_sam.load(runtime=sys.argv[1], strict=True)
image = np.random.default_rng(0).integers(0, 255, (128, 256, 3), np.uint8)
predictor.warm_up(image, long_side=256)
predictor.predict(predictor.encode(image, long_side=256), edge_sam.Prompt(points=[(50, 50)]))
for status in pathlib.Path("/proc/self/task").glob("*/status"):
    print(re.search(r"Cpus_allowed_list:\\s*(\\S+)", status.read_text())[1])
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="not Linux")
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_no_thread_is_outside_the_affinity(runtime: str) -> None:
    if why_unusable(runtime) or len(os.sched_getaffinity(0)) < 2:
        pytest.skip("not usable here")
    last = max(os.sched_getaffinity(0))
    command = [sys.executable, "-c", f"import os; os.sched_setaffinity(0, [{last}])\n{THREADS}", runtime]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {str(last)}


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)


QUOTAS: list[tuple[dict[str, str], int]] = [
    ({}, 8),
    ({"proc__self__cgroup": "0::/a/b\n", "sys__fs__cgroup__a__b__cpu.max": "max 100000\n"}, 8),
    ({"proc__self__cgroup": "0::/a/b\n", "sys__fs__cgroup__a__b__cpu.max": "250000 100000\n"}, 3),
    ({"proc__self__cgroup": "0::/a/b\n", "sys__fs__cgroup__a__cpu.max": "50000 100000\n"}, 1),
    ({"proc__self__cgroup": "0::/\n", "sys__fs__cgroup__cpu.max": "400000 100000\n"}, 4),
    ({"proc__self__cgroup": "0::/unseen/here\n", "sys__fs__cgroup__cpu.max": "200000 100000\n"}, 2),
    ({"proc__self__cgroup": "0::/a\n", "sys__fs__cgroup__a__cpu.max": "9900000 100000\n"}, 8),
    (
        {
            "proc__self__cgroup": "4:cpu,cpuacct:/docker/x\n1:name=systemd:/docker/x\n0::/\n",
            "sys__fs__cgroup__cpu__docker__x__cpu.cfs_quota_us": "150000\n",
            "sys__fs__cgroup__cpu__docker__x__cpu.cfs_period_us": "100000\n",
        },
        2,
    ),
    (
        {
            "proc__self__cgroup": "4:cpuacct,cpu:/docker/x\n3:cpuset:/y\n",
            "sys__fs__cgroup__cpu__cpu.cfs_quota_us": "300000\n",
            "sys__fs__cgroup__cpu__cpu.cfs_period_us": "100000\n",
        },
        3,
    ),
    (
        {
            "proc__self__cgroup": "4:cpu:/\n",
            "sys__fs__cgroup__cpu__cpu.cfs_quota_us": "-1\n",
            "sys__fs__cgroup__cpu__cpu.cfs_period_us": "100000\n",
        },
        8,
    ),
    ({"proc__self__cgroup": "odd\n0::/a\n", "sys__fs__cgroup__a__cpu.max": "100000 0\n"}, 8),
]


@pytest.mark.usefixtures("eight")
@pytest.mark.parametrize(("files", "expected"), QUOTAS)
def test_a_quota_limits_the_cores(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    root = fake_root(tmp_path, **files)
    assert usable_cores(root) == expected
    assert default_threads(root) == (None if expected == 8 else expected)


@pytest.mark.usefixtures("eight")
def test_two_threads_of_a_core_are_one_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    siblings = {
        f"sys__devices__system__cpu__cpu{cpu}__topology__thread_siblings_list": f"{cpu % 4},{cpu % 4 + 4}\n"
        for cpu in range(8)
    }
    root = fake_root(tmp_path, **siblings)
    assert (usable_cores(root), default_threads(root)) == (4, None)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 4, 5})
    assert (usable_cores(root), default_threads(root)) == (2, 2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    assert default_threads(root) == 4  # Although the machine has no more cores: a backend would use both threads.


def test_systems_that_do_not_tell_have_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert (usable_cores(tmp_path), default_threads(tmp_path)) == (6, None)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="not Linux")
def test_more_threads_than_cpus_are_crowded() -> None:
    cpus = len(os.sched_getaffinity(0))
    assert [crowded(threads) for threads in (0, 1, cpus, cpus + 1)] == [False, False, False, True]
