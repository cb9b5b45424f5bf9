"""An edge runtime is silent: no command opens a socket that nobody asked for, or writes outside the cache."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PHOTOGRAPHS, ROOT

from edge_sam.runtimes import why_unusable

pytestmark = pytest.mark.thorough

COFFEE = PHOTOGRAPHS / "coffee.png"
HOOK = """
import os, socket, sys

def hook(event, given):
    if event == "socket.getaddrinfo" or event == "socket.__new__" and given[1] in (socket.AF_INET, socket.AF_INET6):
        with open(os.environ["MARK"], "a") as file:
            print(event, *given, sys.argv, file=file)

sys.addaudithook(hook)
"""
"""Every process reads this first. Native code is not seen; strace sees it, where there is one."""
COMMANDS = [
    "doctor",
    f"segment {COFFEE} --point 300,120 --long-side 256 --output OUT --runtime onnxruntime",
    f"segment {COFFEE} --point 300,120 --long-side 256 --output OUT --runtime openvino",
    "convert mobile-sam --output OUT/bundle",
    f"annotate {COFFEE} --prompts grid --points-per-side 2 --long-side 256 --runtime openvino --output OUT/a.json",
    f"bench --image {COFFEE} --runtime openvino --long-side 256 --rounds 1 --warm-up 0 --report OUT",
]
IMPORTERS = {
    "openvino": "runtimes/openvino_device.py",
    "onnxruntime": "runtimes/onnxruntime_session.py",
    "matplotlib": "edge_sam/imaging/plotting.py",
    "ray": "edge_sam/annotate/ray_data.py",
}
"""The one file that imports each package that would report its use or write into the home folder."""


def traced(command: list[str], log: Path) -> list[str]:
    """The command under strace, where that works."""
    strace = ["strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=socket", "-o", str(log)]
    works = shutil.which("strace") and not subprocess.run([*strace, "true"], capture_output=True).returncode
    return [*strace, *command] if works else command


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_opens_no_socket_and_writes_into_the_cache_alone(command: str, tmp_path: Path) -> None:
    if "openvino" in command and why_unusable("openvino"):
        pytest.skip("openvino is not usable here")
    home, hook, output, temporary, working = (tmp_path / name for name in ("home", "hook", "out", "tmp", "work"))
    for folder in (home, hook, output, temporary, working):
        folder.mkdir()
    (hook / "sitecustomize.py").write_text(HOOK)
    (hook / "entry.py").write_text("from edge_sam.cli import main\nif __name__ == '__main__':\n    main()\n")
    mark, log = tmp_path / "mark", tmp_path / "trace"
    own = {"HOME": str(home), "TMPDIR": str(temporary), "PYTHONPATH": str(hook), "MARK": str(mark)}
    program = traced([sys.executable, str(hook / "entry.py"), *command.replace("OUT", str(output)).split()], log)
    done = subprocess.run(
        program, cwd=working, env={"PATH": os.environ["PATH"], **own}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not mark.exists(), mark.read_text()
    assert not log.exists() or "AF_INET" not in log.read_text()
    cache = home / ".cache" / "edge-sam"
    assert [path for path in home.rglob("*") if path.is_file() and not path.is_relative_to(cache)] == []
    assert [*temporary.iterdir(), *working.iterdir()] == []


def test_the_hook_sees_a_socket(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(HOOK)
    own = {"PYTHONPATH": str(tmp_path), "MARK": str(tmp_path / "mark")}
    program = traced([sys.executable, "-c", "import socket; socket.socket()"], tmp_path / "trace")
    subprocess.run(program, env=os.environ | own, check=True)
    assert "socket.__new__" in (tmp_path / "mark").read_text()
    assert len(program) == 3 or "AF_INET" in (tmp_path / "trace").read_text()


@pytest.mark.parametrize("package", IMPORTERS)
def test_one_function_imports_a_package_that_has_to_be_silenced(package: str) -> None:
    importers = set()
    for folder in ("edge_sam", "export", "quantize", "runtimes"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                if package in {name.split(".")[0] for name in names}:
                    importers.add(file.relative_to(ROOT).as_posix())
    after = {"export/graph_file.py", "quantize/half.py", "quantize/matcher.py"}  # They call that function first.
    assert importers - after == {IMPORTERS[package]}
