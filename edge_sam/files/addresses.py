"""Addresses and pipelines without their passwords, for messages and logs."""

from __future__ import annotations

import re

_HIDDEN = "***"
_USER = re.compile(r"((?:[a-z][a-z0-9+.-]*://)?[^\s:/?#@\"'=]*):(?!//)[^\s\"']*@", re.IGNORECASE)
"""``rtsp://user:password@``. The password ends at the last @, because not everyone escapes / and @."""
_WHOLE = re.compile(r"^([a-z][a-z0-9+.-]*://[^\s:/?#@]*):.*@", re.IGNORECASE | re.DOTALL)
"""The same, if the text is a single address. The password may then contain spaces."""
_KEY = re.compile(r"([a-z][a-z0-9+.-]*://)[^\s:/?#@\"']+@", re.IGNORECASE)
"""``https://key@``."""
_FIELD = re.compile(
    r"([\w.-]*(?:pass|pwd|psw|pw|secret|token|key|auth|sig|cred|session|jwt)[\w.-]*\s*=\s*)"
    r"(?:\"[^\"]*\"|'[^']*'|[^\s&;\"']+)",
    re.IGNORECASE,
)
"""``?password=…`` and ``&token=…`` in an address, ``user-pw=…`` of a GStreamer element."""


def hide_passwords(text: str) -> str:
    """Replace passwords, keys and tokens with ``***``.

    In doubt it hides too much: of ``http://host:80/a@b`` it shows only the host and what comes after the @.
    """
    text = _KEY.sub(rf"\1{_HIDDEN}@", text)
    for pattern in (_WHOLE, _USER):
        text = pattern.sub(rf"\1:{_HIDDEN}@", text)
    return _FIELD.sub(rf"\1{_HIDDEN}", text)
