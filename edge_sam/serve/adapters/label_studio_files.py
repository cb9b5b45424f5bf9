"""Photographs of Label Studio's tasks."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

from edge_sam.errors import InputError
from edge_sam.serve.adapters.photographs import decode_photograph
from edge_sam.serve.errors import HttpError
from edge_sam.serve.settings import ServeSettings

_KEY_VARIABLE = "LABEL_STUDIO_API_KEY"
_CONNECT_TIMEOUT = 5.0
_READ_TIMEOUT = 15.0
_CHUNK = 1 << 16


def read_task_photograph(address: str, settings: ServeSettings) -> bytes:
    """Return the photograph of a task: inside the address (``data:``), or from the Label Studio that was named.

    Nothing is asked of any other host. Redirects are not followed, so the key of Label Studio goes nowhere else.

    Raises
    ------
    InputError
        The address is not one of that Label Studio.
    HttpError
        Label Studio does not deliver the photograph, or it is too large.
    """
    if address.startswith("data:"):
        return decode_photograph(address)
    if settings.label_studio is None:
        raise InputError("the task has an address; start the server with --label-studio URL to read photographs there")
    try:
        full = urljoin(settings.label_studio.rstrip("/") + "/", address)
        inside = _origin(full) == _origin(settings.label_studio)
    except ValueError:
        inside = False
    if not inside:
        raise InputError("the task's photograph is on another host than Label Studio, and this server asks no other")
    return _download(full, settings)


def _origin(address: str) -> tuple[str, str]:
    """Return scheme and host, with what else stands there. Raises `ValueError` if the address is damaged."""
    parts = urlsplit(address)
    return parts.scheme, parts.netloc


def _download(address: str, settings: ServeSettings) -> bytes:
    import requests

    key = os.environ.get(_KEY_VARIABLE)
    try:
        with requests.Session() as session:
            session.trust_env = False  # Else a file of passwords might take the place of the key.
            with session.get(
                address,
                headers={"Authorization": f"Token {key}"} if key else {},
                timeout=(_CONNECT_TIMEOUT, _READ_TIMEOUT),
                allow_redirects=False,
                stream=True,
            ) as answer:
                if answer.status_code != 200:
                    message = f"Label Studio answered {answer.status_code} to the photograph; is {_KEY_VARIABLE} right?"
                    raise HttpError(422, "no_photograph", message)
                return _joined(answer.iter_content(_CHUNK), settings)
    except requests.RequestException as error:
        raise HttpError(503, "unavailable", "cannot read the photograph from Label Studio; is it running?") from error


def _joined(chunks: Iterator[bytes], settings: ServeSettings) -> bytes:
    end = time.monotonic() + settings.upload_timeout
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > settings.max_body_mb * 10**6:
            raise HttpError(413, "body_too_large", f"the photograph is larger than {settings.max_body_mb} MB")
        if time.monotonic() > end:
            raise HttpError(504, "timeout", "Label Studio delivers the photograph too slowly")
    return bytes(body)
