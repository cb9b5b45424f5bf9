"""The log: one line for each request and each event, on standard error."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Literal

LOGGER = logging.getLogger("edge_sam.serve")
_FIELDS = ("request_id", "method", "path", "status", "milliseconds", "client")


class _JsonLines(logging.Formatter):
    """One JSON object on a line."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {"time": _time(record), "level": record.levelname.lower(), "message": record.getMessage()}
        entry.update({name: record.__dict__[name] for name in _FIELDS if name in record.__dict__})
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry)


class _TextLines(logging.Formatter):
    """Time, message and request."""

    def format(self, record: logging.LogRecord) -> str:
        text = f"{_time(record)} {record.getMessage()}"
        if record.exc_info:
            text += f"\n{self.formatException(record.exc_info)}"
        return text


def _time(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"


def start_log(form: Literal["text", "json"]) -> None:
    """Send the lines of this server, of uvicorn and of warnings to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines() if form == "json" else _TextLines())
    logging.captureWarnings(True)
    for name in ("edge_sam", "uvicorn", "py.warnings"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.getLogger("edge_sam.text").setLevel(logging.ERROR)  # Its warnings quote what clients ask for.
    LOGGER.setLevel(logging.INFO)


def log_request(method: str, path: str, status: int, milliseconds: float, client: str, request_id: str) -> None:
    """Write the line of a request. Its query is left out: a key may be in it."""
    path = path.encode("unicode_escape").decode()[:200]  # Else a line break in it could forge a line.
    LOGGER.info(
        "%s %s %d %.1f ms %s %s",
        method,
        path,
        status,
        milliseconds,
        client,
        request_id,
        extra={
            "request_id": request_id,
            "method": method,
            "path": path,
            "status": status,
            "milliseconds": round(milliseconds, 1),
            "client": client,
        },
    )
