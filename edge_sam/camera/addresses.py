"""What may be shown of an address or a pipeline: everything but its passwords."""

from __future__ import annotations

import re

_HIDDEN = "***"
_USER = re.compile(r"((?:[a-z][a-z0-9+.-]*://)?[^\s:/?#@\"'=]*):(?!//)[^\s\"']*@", re.IGNORECASE)
"""``rtsp://user:password@``. The password goes to the last @, for not everyone escapes the / and @ in it."""
_WHOLE = re.compile(r"^([a-z][a-z0-9+.-]*://[^\s:/?#@]*):.*@", re.IGNORECASE | re.DOTALL)
"""The same where there is nothing but the address: a password may hold blanks."""
_KEY = re.compile(r"([a-z][a-z0-9+.-]*://)[^\s:/?#@\"']+@", re.IGNORECASE)
"""``https://key@``."""
_FIELD = re.compile(
    r"([\w.-]*(?:pass|pwd|psw|pw|secret|token|key|auth|sig|cred|session|jwt)[\w.-]*\s*=\s*)"
    r"(?:\"[^\"]*\"|'[^']*'|[^\s&;\"']+)",
    re.IGNORECASE,
)
"""``?password=…``, ``&token=…``; ``user-pw=…`` of a GStreamer element."""


def hide_passwords(text: str) -> str:
    """Put ``***`` in the place of passwords, keys and tokens.

    Rather too much is hidden than too little: of ``http://host:80/a@b`` all up to the @ but the host.
    """
    text = _KEY.sub(rf"\1{_HIDDEN}@", text)
    for pattern in (_WHOLE, _USER):
        text = pattern.sub(rf"\1:{_HIDDEN}@", text)
    return _FIELD.sub(rf"\1{_HIDDEN}", text)
