"""Where the cache is: for users without a home folder too."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PHOTOGRAPHS

from edge_sam.files.cache_home import cache_home
from edge_sam.runtimes import why_unusable

NOBODY = 54321
"""A user that the system does not know, as containers have them."""
AS_NOBODY = ["setpriv", "--reuid", str(NOBODY), "--clear-groups"]
AS_NOBODY += ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
"""It may read everything, because Python may lie in root's own folder."""


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """A folder for temporary files, where all may write and nobody may remove what is another's."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


def as_nobody(temporary: Path, *command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    works = shutil.which("setpriv") and not subprocess.run([*AS_NOBODY, "true"], capture_output=True).returncode
    if os.getuid() or not works:
        pytest.skip("needs root and setpriv")
    for folder in (temporary, *temporary.parents[:2]):
        folder.chmod(folder.stat().st_mode | 0o011)
    script = "from edge_sam.cli import main; main()"
    program = [*AS_NOBODY, sys.executable, "-c", script, *map(str, command)]
    own = {"TMPDIR": str(temporary), **environment}
    return subprocess.run(program, cwd=temporary, env=own, capture_output=True, text=True, check=False)


@pytest.mark.thorough
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_without_a_home_it_is_among_the_temporary_files(temporary: Path, runtime: str) -> None:
    if why_unusable(runtime):
        pytest.skip("not usable here")
    cache = temporary / f"edge-sam-{NOBODY}"
    command = ("segment", PHOTOGRAPHS / "coffee.png", "--point", "300,120", "--runtime", runtime, "--strict")
    for _ in range(2):
        run = as_nobody(temporary, *command, "--long-side", "256", "--output", "masks")
        assert run.returncode == 0, run.stderr
        where = f"it is in {cache}; set EDGE_SAM_HOME to change that"
        assert run.stderr == f"warning: there is no home folder to keep a cache in, so {where}\n"
    assert cache.stat().st_mode & 0o777 == 0o700
    assert list((cache / "guard").iterdir())


@pytest.mark.parametrize("home", ["/", "/nowhere", "locked"])
def test_a_home_that_cannot_be_written_is_none(temporary: Path, home: str) -> None:
    (temporary / "locked").mkdir(mode=0o700)
    run = as_nobody(temporary, "models", HOME=str(temporary / home))
    assert run.returncode == 0
    assert f"cache: {temporary / f'edge-sam-{NOBODY}'}" in run.stdout.splitlines()
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize("kind", ["folder", "link", "open to all"])
def test_what_somebody_else_made_there_is_not_used(temporary: Path, kind: str) -> None:
    planted = temporary / f"edge-sam-{NOBODY}"
    if kind == "link":
        (temporary / "elsewhere").mkdir(mode=0o777)
        planted.symlink_to(temporary / "elsewhere")
    else:
        planted.mkdir()
    if kind == "open to all":
        os.chown(planted, NOBODY, NOBODY) if os.getuid() == 0 else None
        planted.chmod(0o777)
    run = as_nobody(temporary, "models")
    assert run.returncode == 0
    used = next(line for line in run.stdout.splitlines() if line.startswith("cache: "))
    assert used.startswith(f"cache: {temporary}/edge-sam-")
    assert used != f"cache: {planted}"
    assert [path.name for path in temporary.iterdir() if path.name not in (planted.name, "elsewhere")] == []


def test_a_home_that_does_not_exist_is_said(temporary: Path) -> None:
    run = as_nobody(temporary, "models", EDGE_SAM_HOME="~/cache")
    message = "error: EDGE_SAM_HOME is ~/cache, but this user has no home; give an absolute path\n"
    assert (run.returncode, run.stderr) == (2, message)


def test_the_user_s_cache_is_used_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGE_SAM_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "not yet"))
    assert cache_home() == tmp_path / "not yet" / "edge-sam"
    assert not list(tmp_path.iterdir())
