"""The base of all errors and the error of a backend. They lie here because a backend imports only this folder."""

from __future__ import annotations


class EdgeSamError(Exception):
    """Base of all errors raised on purpose."""


class RuntimeUnavailableError(EdgeSamError, RuntimeError):
    """A backend cannot be used on this machine; the message says why and what mends it."""
