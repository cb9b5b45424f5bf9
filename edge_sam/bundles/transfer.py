"""HTTP transfers with an end: each has a limit on its size and one on its total time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import requests
import urllib3

from edge_sam.files.addresses import hide_passwords
from edge_sam.files.text import printable

TIMEOUT = (10, 60)
"""Seconds to connect, and to wait for the next byte."""
GRACE, SLOWEST = 60, 20_000
"""Seconds that every transfer may take, and average bytes per second beyond them. What is slower is given up."""
_CHUNK = 1 << 18
_LONGEST_REASON = 200
_IDENTITY = {"Accept-Encoding": "identity"}
"""Otherwise the server may compress on the fly, and byte ranges would count compressed bytes."""


def get(url: str, headers: Mapping[str, str]) -> requests.Response:
    """Ask for a URL. Nothing of the content is read yet; see `chunks`. Raises `requests.RequestException`."""
    return requests.get(url, headers={**_IDENTITY, **headers}, stream=True, timeout=TIMEOUT)


def chunks(response: requests.Response, size: int) -> Iterator[bytes]:
    """Yield the content as it comes, until its end or until more than `size` bytes have come.

    `requests` waits for whole chunks, so a server that sends a byte a minute would hold it for days.

    Raises
    ------
    requests.Timeout
        The transfer is slower than `SLOWEST`.
    requests.ConnectionError
        The connection broke.
    """
    deadline, done = time.monotonic() + GRACE + size / SLOWEST, 0
    while done <= size:
        try:
            chunk = response.raw.read1(_CHUNK, decode_content=True)
        except urllib3.exceptions.TimeoutError as error:
            raise requests.Timeout(str(error)) from error
        except urllib3.exceptions.HTTPError as error:
            raise requests.ConnectionError(str(error)) from error
        if not chunk:
            return
        done += len(chunk)
        yield chunk
        if time.monotonic() > deadline:
            raise requests.Timeout(f"{done} bytes took too long")


def get_page(url: str, size: int, accept: str = "*/*") -> tuple[requests.Response, bytes]:
    """Ask for a URL and read the answer.

    Raises
    ------
    requests.RequestException
        There was none, it was an error, or it has more than `size` bytes.
    """
    with get(url, {"Accept": accept}) as response:
        response.raise_for_status()
        content = b"".join(chunks(response, size))
    if len(content) > size:
        raise requests.RequestException(f"the answer has more than {size >> 20} MiB")
    return response, content


def reason(error: Exception) -> str:
    """Return one short line without passwords instead of the nested messages of requests and urllib3."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        text = f"the server answered {error.response.status_code} {error.response.reason}"
    elif isinstance(error, requests.Timeout):
        return "timed out"
    elif isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
        return "no connection, or it was interrupted"
    else:
        text = str(error)
    return printable(hide_passwords(text))[:_LONGEST_REASON]
