"""`edge-sam doctor` tells what is here, on this machine and on others, and raises on none."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Done, invoke

import edge_sam
from edge_sam.doctor import Diagnosis, diagnose
from edge_sam.doctor.check import RuntimeCheck, check_isolated, check_runtime
from edge_sam.doctor.packages import conflicts, installed
from edge_sam.errors import RuntimeUnavailableError
from edge_sam.runtimes import BACKENDS, SessionOptions, Tensors, onnxruntime_cpu, why_unusable
from edge_sam.runtimes.cuda_driver import CudaDevice
from edge_sam.runtimes.gpu_package import gpu_requirements
from edge_sam.runtimes.jetson import find_jetson
from edge_sam.system.machine import find_processor

ORIN = "processor : 0\nFeatures : fp asimd aes asimddp\nCPU implementer : 0x41\nCPU part : 0xd42\n"
HYBRID = (
    "processor : 0\nFeatures : fp asimd\nCPU implementer : 0x41\nCPU part : 0xd05\n\n"
    "processor : 1\nFeatures : fp asimd\nCPU implementer : 0x41\nCPU part : 0xd41\n"
)
INTEL = "processor : 0\nmodel name : Some Xeon\nflags : sse avx2 fma avx512f avx512_vnni amx_int8\n" * 2


def fake_root(root: Path, **files: str) -> Path:
    """Lay out files of a system; double underscores stand for slashes."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("device_tree", "device-tree")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def jetson_root(root: Path, release: str) -> Path:
    model = "NVIDIA Jetson Orin Nano Developer Kit\0"
    return fake_root(root, proc__cpuinfo=ORIN, proc__device_tree__model=model, etc__nv_tegra_release=release)


def run_doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
    script = "from edge_sam.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", script, "doctor", *arguments], capture_output=True, text=True, check=False
    )


# This machine.


def test_reports_this_machine_in_json() -> None:
    done = run_doctor("--json")
    assert done.returncode == 0
    assert done.stderr == ""
    report = json.loads(done.stdout)
    assert report["unknown"] == {}
    assert report["edge_sam"] == edge_sam.__version__
    assert report["packages"]["numpy"] == np.__version__
    assert report["memory"]["total"] > 0
    trials = {trial["runtime"]: trial for trial in report["runtimes"]}
    assert list(trials) == list(BACKENDS)
    assert trials["onnxruntime"]["usable"] is True
    assert trials["onnxruntime"]["provider"] == "CPUExecutionProvider"
    for name, trial in trials.items():
        if why_unusable(name) is not None:
            assert trial["usable"] is False
            assert trial["why"]
    if trials["openvino"]["usable"]:
        assert trials["openvino"]["provider"] == "OpenVINO CPU"


def test_reports_this_machine_in_words() -> None:
    done = run_doctor()
    assert done.returncode == 0
    assert done.stderr == ""
    assert "onnxruntime" in done.stdout
    assert "CPUExecutionProvider" in done.stdout


@pytest.mark.skipif(not Path("/proc/cpuinfo").is_file(), reason="not Linux")
def test_instruction_sets_are_those_of_the_kernel() -> None:
    words = Path("/proc/cpuinfo").read_text().split()
    sets = find_processor().instruction_sets
    assert sets is not None
    if "AVX2" in sets:
        assert sets["AVX2"] == ("avx2" in words)
    else:
        assert sets["dotprod"] == ("asimddp" in words)


def test_other_runtimes_are_not_imported() -> None:
    script = (
        "import sys; from edge_sam.doctor import diagnose; from edge_sam.doctor.check import check_runtime;"
        "diagnose(); check_runtime('onnxruntime'); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "onnxruntime" in done.stdout.split()
    assert not {"openvino", "tensorrt", "torch"} & set(done.stdout.split())


# Other machines.


@pytest.mark.parametrize(
    ("cpuinfo", "name", "expected"),
    [
        (ORIN, "Cortex-A78AE", {"NEON": True, "dotprod": True, "i8mm": False, "BF16": False, "SVE": False}),
        (
            HYBRID,
            "Cortex-A55 + Cortex-A78",
            {"NEON": True, "dotprod": False, "i8mm": False, "BF16": False, "SVE": False},
        ),
        (
            ORIN.replace("0xd42", "0xfff"),
            "0x41 0xfff",
            {"NEON": True, "dotprod": True, "i8mm": False, "BF16": False, "SVE": False},
        ),
        (
            INTEL,
            "Some Xeon",
            {
                "AVX2": True,
                "FMA": True,
                "AVX-512": True,
                "AVX-512 VNNI": True,
                "AVX-512 BF16": False,
                "AVX-VNNI": False,
                "AMX int8": True,
                "AMX bf16": False,
            },
        ),
        ("rubbish\n:\n::::\nflags\n", None, None),
    ],
)
def test_processors(tmp_path: Path, cpuinfo: str, name: str | None, expected: dict[str, bool] | None) -> None:
    found = find_processor(fake_root(tmp_path, proc__cpuinfo=cpuinfo))
    assert found.name == (name or platform.processor() or "unknown")
    assert found.instruction_sets == expected


@pytest.mark.parametrize(
    ("release", "l4t", "jetpack", "wheels"),
    [
        ("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic", "36.4.3", 6, "/jp6/cu126"),
        ("# R38 (release), REVISION: 2.0, GCID: 1, BOARD: generic", "38.2.0", 7, "/sbsa/cu130"),
        ("# R39 (release), REVISION: 2.1, GCID: 1, BOARD: generic", "39.2.1", 7, "/sbsa/cu130"),
        ("# R35 (release), REVISION: 4.1, GCID: 1, BOARD: t186ref", "35.4.1", 5, None),
        ("# R99 (release), REVISION: 1.0", "99.1.0", None, None),
        ("something else", None, None, None),
    ],
)
def test_jetsons(tmp_path: Path, release: str, l4t: str | None, jetpack: int | None, wheels: str | None) -> None:
    root = jetson_root(tmp_path, release)
    jetson = find_jetson(root)
    assert jetson is not None
    assert (jetson.model, jetson.l4t, jetson.jetpack) == ("NVIDIA Jetson Orin Nano Developer Kit", l4t, jetpack)
    command = gpu_requirements(tensorrt=True, root=root)
    if wheels is None:
        assert command is None
    else:
        assert command == f"onnxruntime-gpu --index-url https://pypi.jetson-ai-lab.io{wheels}"


def test_a_board_that_is_no_jetson(tmp_path: Path) -> None:
    root = fake_root(tmp_path, proc__device_tree__model="Raspberry Pi 5 Model B Rev 1.0\0")
    report = diagnose(root, lambda name: RuntimeCheck(name, usable=True))
    assert (report.board, report.jetson, report.unknown) == ("Raspberry Pi 5 Model B Rev 1.0", None, {})


@pytest.mark.parametrize(
    ("driver", "python", "packages"),
    [
        (13000, (3, 12), '"onnxruntime-gpu[cuda,cudnn]" "tensorrt-cu13<11"'),
        (13000, (3, 10), '"onnxruntime-gpu[cuda,cudnn]<1.27" "tensorrt-cu12<11"'),
        (12040, (3, 12), '"onnxruntime-gpu[cuda,cudnn]<1.27" "tensorrt-cu12<11"'),
    ],
)
def test_packages_fit_the_driver(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, driver: int, python: tuple[int, int], packages: str
) -> None:
    device = CudaDevice("A GPU", (8, 6), driver)
    monkeypatch.setattr("edge_sam.runtimes.gpu_package.cuda_devices", lambda: [device])
    monkeypatch.setattr("edge_sam.runtimes.gpu_package.sys.version_info", python)
    assert gpu_requirements(tensorrt=True, root=tmp_path) == packages
    assert gpu_requirements(root=tmp_path) == packages.split()[0]


def test_an_empty_machine_is_unknown_but_no_error(tmp_path: Path) -> None:
    report = diagnose(tmp_path, lambda name: RuntimeCheck(name, usable=False, why="not here"))
    assert report.processor is not None
    assert report.processor.instruction_sets is None
    assert report.jetson is None
    assert report.unknown == {}
    assert not report.works


# Conflicts.


def test_packages_in_one_folder_are_a_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {
        "onnxruntime": "1.23.2",
        "onnxruntime-gpu": "1.23.0",
        "opencv-python": "4.12",
        "opencv-python-headless": "4.11",
    }

    def version(name: str) -> str:
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr("importlib.metadata.version", version)
    assert installed() == versions
    monkeypatch.setattr("edge_sam.doctor.packages.cuda_devices", lambda: "no driver")
    runtimes, opencv = conflicts(installed())
    assert runtimes.packages == ["onnxruntime", "onnxruntime-gpu"]
    assert runtimes.fix == "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime"
    headless, complete = "opencv-python-headless", "opencv-python"
    assert opencv.packages == [headless, complete]
    assert opencv.fix == f"pip uninstall -y {headless} {complete} && pip install {headless}"
    monkeypatch.setattr("edge_sam.doctor.packages.cuda_devices", lambda: [CudaDevice("A GPU", (8, 7), 12060)])
    monkeypatch.setattr("edge_sam.doctor.packages.gpu_requirements", lambda: "onnxruntime-gpu --index-url X")
    assert conflicts(installed())[0].fix.endswith("&& pip install onnxruntime-gpu --index-url X")
    assert conflicts({"onnxruntime-gpu": "1", "opencv-python-headless": "4"}) == []


# Broken backends.


class Spoilt:
    """The real session, with outputs that went wrong."""

    def __init__(self, session: Any, spoil: Callable[[np.ndarray], np.ndarray]) -> None:
        self._session, self._spoil, self.provider = session, spoil, session.provider

    def run(self, inputs: Mapping[str, Any]) -> Tensors:
        return {name: self._spoil(array) for name, array in self._session.run(inputs).items()}


def opens_spoilt(spoil: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path, SessionOptions], Any]:
    real = onnxruntime_cpu.open_session
    return lambda model, options: Spoilt(real(model, options), spoil)


def raises(error: BaseException) -> Callable[..., Any]:
    def fail(*_: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    ("member", "value", "why", "mends"),
    [
        ("why_unusable", raises(OSError("libx.so: no such file")), "the check failed: OSError: libx.so", False),
        ("why_unusable", lambda _: "no driver on this machine", "no driver on this machine", False),
        ("why_unusable", lambda _: "not installed: " + onnxruntime_cpu.install_command(), "not installed", True),
        ("hardware", raises(RuntimeError("plugin missing")), "RuntimeError: plugin missing", False),
        ("open_session", raises(RuntimeUnavailableError("put\nCPU in its place")), "put CPU in its place", True),
        ("open_session", raises(ValueError("odd")), "its first inference failed: ValueError: odd", True),
        ("open_session", opens_spoilt(lambda a: a * np.float32(np.nan)), "not finite", True),
        ("open_session", opens_spoilt(np.zeros_like), "results for two different masks are equal", True),
    ],
)
def test_a_broken_backend_is_a_reason(
    monkeypatch: pytest.MonkeyPatch, member: str, value: Callable[..., Any], why: str, mends: bool
) -> None:
    monkeypatch.setattr(onnxruntime_cpu, member, value)
    trial = check_runtime("onnxruntime")
    assert trial.usable is False
    assert trial.why is not None
    assert why in trial.why
    assert "pip" not in trial.why
    assert trial.fix == (onnxruntime_cpu.install_command() if mends else None)


def test_tensorrt_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_sam.runtimes import onnxruntime_tensorrt

    monkeypatch.setattr(onnxruntime_tensorrt, "why_unusable", lambda _: None)
    monkeypatch.setattr(onnxruntime_tensorrt, "hardware", lambda _: "A GPU")
    monkeypatch.setattr(onnxruntime_tensorrt, "open_session", raises(AssertionError("it was opened")))
    trial = check_runtime("tensorrt")
    assert (trial.usable, trial.hardware) == (None, "A GPU")
    assert trial.why is not None
    assert "edge-sam build" in trial.why


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "it was killed by SIGILL"),
        ("import sys; print('libx is missing', file=sys.stderr); sys.exit(3)", "exit code 3: libx is missing"),
        ("print('noise')", "ended with exit code 0"),
    ],
)
def test_a_crash_stays_in_its_process(script: str, why: str) -> None:
    trial = check_isolated("onnxruntime", (sys.executable, "-c", script))
    assert trial.usable is False
    assert trial.why is not None
    assert why in trial.why


def test_without_processes_it_is_tried_in_this_one() -> None:
    assert check_isolated("onnxruntime", ("/no/such/program",)).usable


def test_a_hang_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_sam.doctor.check._SECONDS", 0.5)
    trial = check_isolated("onnxruntime", (sys.executable, "-c", "import time; time.sleep(60)"))
    assert trial.why == "no result after 0.5 s"


# Whatever breaks, there is a report.


def test_every_fact_may_break(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = raises(ZeroDivisionError("broken"))
    for name in ("find_processor", "system", "memory", "nvidia"):
        monkeypatch.setattr(f"edge_sam.system.machine.{name}", broken)
    for name in ("board_model", "find_jetson", "installed", "conflicts", "cache_home"):
        monkeypatch.setattr(f"edge_sam.doctor.{name}", broken)
    report = diagnose(check=broken)
    facts = ["packages", "system", "board", "jetson", "processor", "memory", "nvidia", "conflicts", "cache"]
    assert report.unknown == dict.fromkeys(facts, "could not find out: ZeroDivisionError: broken")
    assert [trial.why for trial in report.runtimes] == ["could not find out: ZeroDivisionError: broken"] * len(BACKENDS)
    for arguments in (["doctor"], ["doctor", "--json"]):
        shown = show(monkeypatch, report, arguments)
        assert shown.exit_code == 1
        assert "could not find out: ZeroDivisionError" in shown.stdout


def test_commands_are_shown_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    command = 'pip uninstall -y a b && pip install "edge-sam[openvino]" --index-url https://example.org/' + 80 * "x"
    trial = RuntimeCheck("openvino", usable=False, why="not installed", fix=command)
    works = RuntimeCheck("onnxruntime", usable=True, provider="P", hardware="H")
    report = diagnose(
        jetson_root(tmp_path, "# R36 (release), REVISION: 4.3"), lambda name: works if name == "onnxruntime" else trial
    )
    shown = show(monkeypatch, report, ["doctor"])
    assert shown.exit_code == 0
    assert f"for openvino: {command}\n" in shown.stdout
    assert "L4T 36.4.3, JetPack 6" in shown.stdout
    assert "NEON yes, dotprod yes, i8mm no" in " ".join(shown.stdout.split())


def test_tells_what_was_tuned_and_where_it_cannot_write(own_cache: Path, tmp_path: Path) -> None:
    from edge_sam.bundles.bundle import open_bundle
    from edge_sam.inference.cache import Best, Tuned, tuning_key, write_record

    def attempt(name: str) -> RuntimeCheck:
        return RuntimeCheck(name, usable=False)

    cache = diagnose(check=attempt).cache
    assert cache is not None
    assert (cache.folder, cache.writable, cache.tuned) == (str(own_cache), True, {"mobile-sam": None})
    assert not own_cache.exists()
    best = {"runtime": "openvino", "precision": "w16", "threads": 2}
    write_record(tuning_key(open_bundle("mobile-sam")), Tuned(Best("openvino", "w16", 2), "2026-11-23"))
    cache = diagnose(check=attempt).cache
    assert cache is not None
    assert cache.tuned == {"mobile-sam": {**best, "date": "2026-11-23"}}
    (tmp_path / "file").write_text("")
    os.environ["EDGE_SAM_HOME"] = str(tmp_path / "file" / "cache")  # `own_cache` puts it back.
    cache = diagnose(check=attempt).cache
    assert cache is not None
    assert not cache.writable


def show(monkeypatch: pytest.MonkeyPatch, report: Diagnosis, arguments: list[str]) -> Done:
    monkeypatch.setattr("edge_sam.doctor.diagnose", lambda: report)
    return invoke(*arguments)
