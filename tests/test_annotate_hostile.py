"""A folder that came from elsewhere: nothing of it is imported unasked, and its records write nothing outside."""

from __future__ import annotations

import json
import py_compile
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import PHOTOGRAPHS
from test_cli import refused

from edge_sam.annotate.functions import find_function
from edge_sam.annotate.limits import Limits
from edge_sam.annotate.pipeline import annotate
from edge_sam.annotate.records import LabelledMask, Outcome, Record, Task
from edge_sam.annotate.sources import open_source
from edge_sam.annotate.store import Store
from edge_sam.annotate.tasks import job_settings, make_tasks
from edge_sam.annotate.worker import Job
from edge_sam.annotate.writers import write_coco, write_sa1b
from edge_sam.bundles.bundle import open_bundle
from edge_sam.errors import InputError
from edge_sam.imaging.view import View
from edge_sam.inference.run_options import RunOptions

HOSTILE = """
import pathlib
pathlib.Path(__file__).parent.joinpath("IMPORTED-" + __name__).touch()
raise ImportError("of the data set")
"""
MODULES = ("msgspec", "multiprocessing", "numpy", "onnxruntime", "pickle", "signal", "socket", "struct", "tempfile")
DETECTOR = """
from __future__ import annotations
import dataclasses, os, edge_sam

print("loaded")

@dataclasses.dataclass
class Found:
    box: tuple[float, float, float, float]

def boxes(image, name):
    assert os.path.exists("photos"), os.getcwd()
    return [edge_sam.Prompt(box=Found((20, 20, 200, 200)).box)]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set with modules beside its photographs, and a detector."""
    place = tmp_path / "in"
    (place / "photos").mkdir(parents=True)
    (place / "mine").mkdir()
    shutil.copy(PHOTOGRAPHS / "rocket.jpg", place / "photos")
    for name in MODULES:
        for beside in (place, place / "mine"):
            (beside / f"{name}.py").write_text(HOSTILE)
    (place / "mine" / "detector.py").write_text(DETECTOR)
    (place / "boxes.csv").write_text("image,x0,y0,x1,y1\nrocket.jpg,20,20,200,200\n")
    return place


def started_by_script(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command as its installed script does: the script's folder is first on the path, not the working folder."""
    script = folder / "bin" / "start.py"
    script.parent.mkdir(exist_ok=True)
    script.write_text("from edge_sam.cli import main\nif __name__ == '__main__':\n    main()\n")
    command = [sys.executable, str(script), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def run(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    done = started_by_script(folder, "annotate", "photos", "--output", "out.json", *arguments)
    assert not list(folder.rglob("IMPORTED-*"))
    return done


def test_workers_import_nothing_from_the_working_folder(folder: Path) -> None:
    done = run(folder, "--prompts", "boxes.csv", "--long-side", "256", "--workers", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["annotations"] == 1


def test_a_function_of_a_file_is_used_without_what_lies_beside_it(folder: Path) -> None:
    done = run(folder, "--prompts", "mine/detector.py:boxes", "--long-side", "256", "--workers", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["annotations"] == 1


def test_a_module_is_not_looked_for_in_the_working_folder(folder: Path) -> None:
    shutil.copy(folder / "mine" / "detector.py", folder)
    message = refused(run(folder, "--prompts", "detector:boxes"))
    assert "cannot import detector:boxes: ModuleNotFoundError" in message
    assert "to use detector.py in this folder, give detector.py:NAME" in message


def test_compiled_code_beside_a_file_is_not_run(folder: Path) -> None:
    file = folder / "mine" / "detector.py"
    (folder / "other.py").write_text("def boxes(image, name): return 'hostile'\n")
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    cached = py_compile.compile(str(folder / "other.py"), invalidation_mode=unchecked)
    assert cached is not None
    (file.parent / "__pycache__").mkdir()
    shutil.copy(cached, file.parent / "__pycache__" / Path(cached).name.replace("other", "detector"))
    name, function = find_function(f"{file}:boxes")
    assert function.__code__.co_filename == str(file)
    assert name == f"{file}:boxes"
    assert find_function(name)[1] is function  # Run once, as a module is.


@pytest.mark.parametrize(
    ("code", "function", "message"),
    [
        ("def f(:", "f", "SyntaxError"),
        ("1 / 0", "f", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "f", "SystemExit: 3"),
        ("import beside", "f", "No module named 'beside'; to import modules beside the file, add"),
        ("f = 1", "f", "is not a function"),
        ("f = 1", "g", "has no attribute 'g'"),
        ("f = 1", "", "AttributeError"),
    ],
)
def test_a_file_that_gives_no_function_is_told(code: str, function: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("")
    (tmp_path / "mine.py").write_text(code)
    for _ in range(2):  # A file that failed is not taken for one that was run.
        with pytest.raises(InputError, match=message):
            find_function(f"{tmp_path / 'mine.py'}:{function}")
    with pytest.raises(InputError, match="No such file"):
        find_function(f"{tmp_path / 'absent.py'}:f")


def test_settings_do_not_say_where_the_file_of_a_function_lies(folder: Path) -> None:
    def facts(file: Path) -> dict[str, Any]:
        limits = Limits()
        job = Job(
            "mobile-sam",
            RunOptions(runtime="onnxruntime", precision="fp32", threads=1),
            View(),
            limits,
            function=f"{file}:boxes",
        )
        return job_settings(job, open_bundle("mobile-sam"))

    moved = folder / "moved" / "detector.py"
    moved.parent.mkdir()
    shutil.copy(folder / "mine" / "detector.py", moved)
    assert facts(folder / "mine" / "detector.py") == facts(moved)
    moved.write_text(DETECTOR + "\n")
    assert facts(folder / "mine" / "detector.py") != facts(moved)


@pytest.fixture
def task(folder: Path) -> Task:
    (one,) = make_tasks(open_source(str(folder / "photos")), None, None)
    return one


def _no_engine(_: Sequence[Task]) -> Generator[Outcome, None, None]:
    yield from ()


def go_on(folder: Path, task: Task, output: str) -> None:
    """Write the data set from records that are there."""
    annotate(
        [task],
        _no_engine,
        Store(folder / "work"),
        folder / output,
        sa1b=not output.endswith(".json"),
        categories={"object": 1},
        stopped=lambda: False,
        show=lambda _: lambda: None,
    )


@pytest.mark.parametrize("output", ["out.json", "out"])
@pytest.mark.parametrize("name", ["{}/config.png", "../config.png", "a/../../config.png", "", ".", "other.jpg"])
def test_a_record_of_another_name_is_not_believed(name: str, output: str, folder: Path, task: Task) -> None:
    (folder / "config.json").write_text("mine")
    Store(folder / "work").put(task.key, Record(name.format(folder), 640, 427))
    before = sorted(folder.glob("*"))
    with pytest.raises(InputError, match=r"record .* belongs to .*, not to rocket\.jpg; remove it and run again"):
        go_on(folder, task, output)
    assert sorted(folder.glob("*")) == before
    assert (folder / "config.json").read_text() == "mine"


@pytest.mark.parametrize("name", ["{}/config.png", "../config.png", "a/../../config.png", "", ".", ".."])
def test_a_writer_stays_in_its_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    with pytest.raises(InputError, match="would be written outside the data set"):
        write_sa1b(lambda: [Record(name.format(tmp_path), 4, 4)], tmp_path / "out", tmp_path / "work")
    assert not list(tmp_path.rglob("*.json"))


def test_a_record_with_a_category_that_no_prompt_has_is_told(tmp_path: Path) -> None:
    mask = LabelledMask({"size": [2, 2], "counts": "04"}, 4, (0, 0, 2, 2), 0.9, 0.8, [], (0, 0, 2, 2), "other")
    with pytest.raises(InputError, match="the category 'other', but no prompt has it"):
        write_coco(lambda: [Record("a.png", 2, 2, [mask])], tmp_path / "out.json", tmp_path, {"object": 1})
    assert not (tmp_path / "out.json").exists()


def linked_records(work: Path) -> None:
    (work / "records").symlink_to(work.parent)


def linked_record(work: Path) -> None:
    (work / "records" / "ab").mkdir(parents=True)
    (work / "records" / "ab" / "cd.json").symlink_to(work.parent / "absent.json")


def linked_lock(work: Path) -> None:
    (work / "lock").symlink_to(work.parent / "precious")


@pytest.mark.parametrize("make", [linked_records, linked_record, linked_lock])
def test_a_working_folder_with_links_is_refused_and_touches_nothing(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "work").mkdir()
    make(tmp_path / "work")
    with (
        pytest.raises(InputError, match="is a link or a special file"),
        Store(tmp_path / "work").opened({}, restart=False),
    ):
        pytest.fail("it was opened")
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_working_folder_may_be_a_link_itself(tmp_path: Path) -> None:
    (tmp_path / "large-disk").mkdir()
    (tmp_path / "work").symlink_to("large-disk")
    with Store(tmp_path / "work").opened({}, restart=False):
        pass
    assert (tmp_path / "large-disk" / "settings.json").is_file()


@pytest.mark.parametrize(
    "content", [b"[" * 10**5, b'{"name": "\xff"}', b'{"name": "\\ud800', b'{"masks": "\\ud800"}', b""]
)
def test_a_damaged_record_is_told(content: bytes, folder: Path, task: Task) -> None:
    Store(folder / "work").put(task.key, Record(task.item.name))
    (file,) = (folder / "work").rglob("*.json")
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"record .* is damaged"):
        go_on(folder, task, "out.json")
