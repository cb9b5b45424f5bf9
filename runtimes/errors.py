"""Errors that this folder raises. They are defined here because a backend imports nothing above it."""

from __future__ import annotations


class EdgeSamError(Exception):
    """Base of all errors raised on purpose."""


class InputError(EdgeSamError, ValueError):
    """The caller's input cannot be used: image, prompt, bundle, checkpoint or option."""


class RuntimeUnavailableError(EdgeSamError, RuntimeError):
    """A backend cannot be used on this machine. The message gives the reason and the fix."""
