"""Who may ask: the names of this server, the pages that may use it, the API key."""

from __future__ import annotations

import base64
import hmac
import ipaddress
import os
import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from edge_sam.errors import InputError
from edge_sam.serve.errors import HttpError
from edge_sam.serve.settings import ServeSettings

_KEY_VARIABLE = "EDGE_SAM_API_KEY"
_LONGEST_KEY = 4096
_ORIGIN = re.compile(r"https?://[^\s/?#@]+")
_ADDRESS = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")
_OPEN_PATHS, _OPEN_FOLDERS = ("/", "/health"), ("/page/", "/onnxruntime-web/")
"""What needs no key: the state of the server and the page, which holds nothing secret."""


class Access:
    """Refuses requests that this server should not answer.

    Parameters
    ----------
    settings : ServeSettings

    Raises
    ------
    InputError
        The file with the key cannot be read or is empty, or an origin is not one.
    """

    def __init__(self, settings: ServeSettings) -> None:
        self.key = _read_key(settings.api_key_file)
        _check_addresses(settings)
        self._origins = frozenset(settings.allow_origin)
        name = socket.gethostname().lower()
        self._hosts = {"localhost", name, f"{name}.local", *(host.lower() for host in settings.allow_host)}

    def check_names(self, headers: Headers) -> None:
        """Raise `HttpError` if a request names another server, or comes from a page of another site."""
        host = headers.get("host", "")
        if not self._is_ours(host):
            raise HttpError(400, "unknown_host", "this server has another name; allow yours with --allow-host NAME")
        origin = headers.get("origin")
        if origin is not None and origin not in self._origins and _netloc(origin) != host.lower():
            raise HttpError(403, "foreign_origin", "a page of another site asks; allow it with --allow-origin URL")

    def check_key(self, method: str, path: str, headers: Headers) -> None:
        """Raise `HttpError` if a request needs the key and has another or none."""
        is_open = method in ("GET", "HEAD") and (path in _OPEN_PATHS or path.startswith(_OPEN_FOLDERS))
        if self.key is None or is_open or method == "OPTIONS":
            return
        if not hmac.compare_digest(_given_key(headers), self.key.encode()):
            raise HttpError(
                401, "unauthorized", "send the API key as Authorization: Bearer KEY", {"WWW-Authenticate": "Bearer"}
            )

    def _is_ours(self, host: str) -> bool:
        """Tell whether a Host header names this server.

        A page that has its own name point here (DNS rebinding) sends that name. An address cannot be made to do that.
        """
        name = _without_port(host).lower().rstrip(".")
        if name in self._hosts or name.endswith(".localhost"):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _check_addresses(settings: ServeSettings) -> None:
    """Raise `InputError` if an address among the settings is none."""
    for origin in settings.allow_origin:
        if not _ORIGIN.fullmatch(origin):
            raise InputError(f"--allow-origin {origin}: give scheme and name only, as https://labels.example.com")
    if settings.label_studio is not None and not _ADDRESS.fullmatch(settings.label_studio):
        raise InputError(f"--label-studio {settings.label_studio}: give an address as http://localhost:8080")


def _netloc(origin: str) -> str | None:
    """Return the host and port of an origin, None if it has none (``null``)."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host


def _given_key(headers: Headers) -> bytes:
    """Return the key that a client sent: as a bearer token, a Basic password, or X-AnyLabeling's header."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip(" \t").encode("latin-1")  # As the bytes came.
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).partition(b":")[2]
        except ValueError:
            return b""
    return headers.get("token", "").encode("latin-1")


def _read_key(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get(_KEY_VARIABLE) or None
    try:
        with file.open(encoding="utf-8") as opened:
            key = opened.read(_LONGEST_KEY).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the API key from {file}: {getattr(error, 'strerror', None) or error}") from error
    if not key:
        raise InputError(f"the file {file} has no API key; write one into it, for example: openssl rand -hex 32")
    return key
