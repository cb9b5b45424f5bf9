"""Nothing is imported from the working folder: neither from a hostile one, nor half of the package from its clone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import PHOTOGRAPHS, ROOT

from edge_sam.benchmark.process import WorkerError, WorkerProcess
from edge_sam.evaluation.variant import Variant
from edge_sam.system.processes import python_command, reason_of_end

COMMANDS = {
    "doctor": "doctor --json",
    "bench": "bench --image coffee.png --runtime onnxruntime --long-side 256 --rounds 1 --warm-up 0 --json",
    "annotate": "annotate coffee.png --prompts grid --points-per-side 2 --long-side 256 --output {out}/a.json --json",
    "ray": "annotate coffee.png --prompts grid --points-per-side 2 --long-side 256 --output {out}/r.json --json"
    " --engine ray --workers 1 --threads 1",
}
"""Those that start processes."""
OTHERS = [
    "cv2",
    "edge_sam",
    "export",
    "msgspec",
    "numpy",
    "onnxruntime",
    "openvino",
    "quantize",
    "ray",
    "cyclopts",
    "rich",
    "runtimes",
    "sitecustomize",
]
MARK = "import sys\nwith open({mark!r}, 'a') as file:\n    print(__name__, sys.argv, file=file)\n"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of a clone, with a photograph."""
    clone = tmp_path_factory.mktemp("clone")
    for name in ("edge_sam", "export", "quantize", "runtimes"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone)
    shutil.copy(PHOTOGRAPHS / "coffee.png", clone)
    return clone


@pytest.fixture(scope="module")
def installed(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of an environment in which `pip install .` was run, beside all that is installed here."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    (packages / "others.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")))
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet", "--no-index"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", str(clone)], check=True)
    assert (packages / "edge_sam" / "runtimes").is_dir()
    return folder / "bin"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose every module leaves a mark."""
    folder = tmp_path_factory.mktemp("hostile")
    shutil.copy(PHOTOGRAPHS / "coffee.png", folder)
    for name in {*sys.stdlib_module_names, *OTHERS}:
        (folder / f"{name}.py").write_text(MARK.format(mark=str(folder / "mark")))
    return folder


def run(program: Sequence[object], command: str, folder: Path, output: Path) -> subprocess.CompletedProcess[str]:
    if command == "ray" and find_spec("ray") is None:
        pytest.skip("ray is not installed")
    arguments = [*map(str, program), *COMMANDS[command].format(out=output).split()]
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert "runtimes" not in report or report["runtimes"][0]["usable"], report["runtimes"]
    assert not report.get("skipped")
    assert not report.get("failed")
    return done


@pytest.mark.thorough
@pytest.mark.parametrize("command", COMMANDS)
def test_a_hostile_folder_runs_nothing(installed: Path, hostile: Path, command: str, tmp_path: Path) -> None:
    mark = hostile / "mark"
    mark.unlink(missing_ok=True)
    subprocess.run([sys.executable, "-c", "import msgspec"], cwd=hostile, check=True)
    assert mark.read_text()
    mark.unlink()
    run([installed / "edge-sam"], command, hostile, tmp_path)
    assert not mark.exists(), mark.read_text()


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("program", "command"),
    [
        ("edge-sam", "doctor"),
        ("edge-sam", "bench"),
        ("python -m edge_sam", "bench"),
        ("python -m edge_sam", "annotate"),
    ],
)
def test_it_runs_from_its_own_clone(installed: Path, clone: Path, program: str, command: str, tmp_path: Path) -> None:
    run(f"{installed}/{program}".split(), command, clone, tmp_path)


def test_the_clone_is_imported_whole(installed: Path, clone: Path) -> None:
    modules = "edge_sam, edge_sam.runtimes.openvino_device, edge_sam.quantize.targets, edge_sam.export"
    script = f"import {modules}; print(edge_sam.__file__, edge_sam.quantize.targets.__file__, sep='\\n')"
    done = subprocess.run([installed / "python", "-c", script], cwd=clone, capture_output=True, text=True, check=False)
    assert done.stdout.split() == [str(clone / "edge_sam/__init__.py"), str(clone / "quantize/targets.py")], done.stderr
    for module in ("edge_sam.doctor", "edge_sam.benchmark.worker"):
        done = subprocess.run(
            [installed / "python", "-m", module, "onnxruntime"], cwd=clone, input="", capture_output=True, text=True
        )
        assert "ModuleNotFoundError" not in done.stderr


def test_what_was_found_here_is_found_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders of the search path that only this process has, but not the working folder."""
    for name in ("mine", "theirs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "told.py").write_text(f"print({name!r}, __name__)")
    monkeypatch.syspath_prepend(tmp_path / "mine")
    monkeypatch.chdir(tmp_path / "theirs")
    monkeypatch.syspath_prepend("")
    assert subprocess.check_output(python_command("told"), text=True) == "mine __main__\n"


@pytest.mark.parametrize(
    ("code", "stderr", "said"),
    [
        (3, b"first\nlibx is  missing\n\n", "ended with exit code 3: libx is missing"),
        (0, b"", "ended with exit code 0"),
        (-9, b"", "was killed by SIGKILL"),
        (-9, b"\xff", "was killed by SIGKILL: \ufffd"),
        (-200, b"", "was killed by signal 200"),
    ],
)
def test_an_end_has_a_reason(code: int, stderr: bytes, said: str) -> None:
    assert reason_of_end(code, stderr) == said


def test_a_worker_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "msgspec.py").write_text("raise ImportError('libx is missing')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(WorkerError, match="the process ended with exit code 1: ImportError: libx is missing"):
        WorkerProcess(Variant("mobile-sam"), [])
