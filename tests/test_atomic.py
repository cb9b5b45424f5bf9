"""Files appear whole or not at all."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from edge_sam.errors import InputError
from edge_sam.files.atomic import check_output_file, check_output_folder, move_into_place, write_files


def test_writes_and_replaces(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file"
    for content in (b"one", b"two"):
        write_files({target: content})
        assert target.read_bytes() == content
    assert [p.name for p in target.parent.iterdir()] == ["file"]
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(ordinary.stat().st_mode)


def test_one_failure_leaves_all_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(b"old")
    (tmp_path / "blocked").touch()
    (tmp_path / "folder").mkdir()
    for obstacle in (tmp_path / "blocked" / "x", tmp_path / "folder"):
        with pytest.raises(OSError, match=obstacle.name) as failure:
            write_files({tmp_path / "kept": b"new", tmp_path / "fresh": b"new", obstacle: b"new"})
        assert failure.value.filename == str(obstacle)
        assert (tmp_path / "kept").read_bytes() == b"old"
        assert {p.name for p in tmp_path.iterdir()} == {"kept", "blocked", "folder"}


def test_a_name_may_be_as_long_as_the_system_allows(tmp_path: Path) -> None:
    write_files({tmp_path / ("x" * 255): b"content"})
    assert len(list(tmp_path.iterdir())) == 1


def test_a_replaced_file_keeps_its_mode(tmp_path: Path) -> None:
    script, fresh = tmp_path / "script", tmp_path / "fresh"
    script.touch()
    script.chmod(0o750)
    before = os.umask(0o027)
    try:
        write_files({script: b"new", fresh: b"new"})
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (script, fresh)] == [0o750, 0o640]


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "old").write_bytes(b"old")
    for link, target in (("there", "real/old"), ("dangling", "real/deep/new"), ("twice", "there")):
        (tmp_path / link).symlink_to(target)
        write_files({tmp_path / link: link.encode()})
        assert (tmp_path / link).is_symlink()
        assert (tmp_path / target).read_bytes() == link.encode()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="loop"):
        write_files({tmp_path / "loop": b""})


def test_a_pipe_gets_the_bytes(tmp_path: Path) -> None:
    pipe, link, beside = tmp_path / "pipe", tmp_path / "link", tmp_path / "beside"
    os.mkfifo(pipe)
    link.symlink_to("pipe")
    for target in (pipe, link):
        reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        write_files({target: b"through", beside: b"new"})
        assert os.read(reading, 100) == b"through"
        finished = tmp_path / "finished"
        finished.write_bytes(b"moved")
        move_into_place(finished, target)
        assert os.read(reading, 100) == b"moved"
        os.close(reading)
        assert pipe.is_fifo()
    assert {path.name for path in tmp_path.iterdir()} == {"pipe", "link", "beside"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_device_says_so_and_stays(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.symlink_to("/dev/full")  # Never the device itself: code that is wrong would take it from the machine.
    with pytest.raises(OSError, match="No space left") as failure:
        write_files({out: b"x" * 10, tmp_path / "beside": b"new"})
    assert failure.value.filename == str(out)
    assert out.is_char_device()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="needs /dev/fd")
def test_open_files_are_written_where_they_are(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from edge_sam.files.atomic import write_files;"
        "print('before', flush=True);"
        "write_files({Path(name): b'through\\n' for name in sys.argv[1:]}); print('after')"
    )
    links = [tmp_path / "stdout", tmp_path / "fd"]
    for link, target in zip(links, ("/dev/stdout", "/dev/fd/1"), strict=True):
        link.symlink_to(target)  # As above.
    with (tmp_path / "out").open("w") as out:
        subprocess.run([sys.executable, "-c", script, *links], stdout=out, check=True)
    assert (tmp_path / "out").read_text().split() == ["before", "through", "through", "after"]
    assert all(link.is_symlink() for link in links)


def test_outputs_are_checked_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("file")
    for good in (tmp_path, tmp_path / "folder", tmp_path / "new" / "deep"):
        check_output_folder(good)
        check_output_file(good / "file")
    check_output_file(Path("/dev/null"))
    for wrong in ("file", "file/x", "file/x/y", "link", "link/x"):
        with pytest.raises(InputError, match="file is not a folder"):
            check_output_folder(tmp_path / wrong)
    with pytest.raises(InputError, match="file is not a folder"):
        check_output_file(tmp_path / "file" / "x")
    with pytest.raises(InputError, match="it is a folder"):
        check_output_file(tmp_path / "folder")
    with pytest.raises(InputError, match="give a folder instead of -"):
        check_output_folder(Path("-"))
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder", "link"}


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="no permission to write"):
        check_output_folder(tmp_path / "new")
