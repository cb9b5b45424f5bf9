"""The errors that edge_sam raises on purpose, each with one line that says what was wrong and what to do."""

from __future__ import annotations

from edge_sam.runtimes.errors import EdgeSamError, RuntimeUnavailableError

__all__ = [
    "AccuracyError",
    "DownloadError",
    "EdgeSamError",
    "ExportError",
    "InputError",
    "MissingExtraError",
    "RuntimeFallbackWarning",
    "RuntimeUnavailableError",
    "one_line",
]


class InputError(EdgeSamError, ValueError):
    """What the caller gave cannot be used: image, prompt, bundle, checkpoint or option."""


class MissingExtraError(EdgeSamError, ImportError):
    """A command needs an optional dependency that is not installed."""


class DownloadError(EdgeSamError):
    """No source gave the file that was asked for, whole and with the right hash."""


class ExportError(EdgeSamError):
    """An exported artefact does not agree with the model it was made from; nothing was written."""


class AccuracyError(EdgeSamError):
    """A quantised model's masks are worse than allowed; nothing was written."""


class RuntimeFallbackWarning(RuntimeWarning):
    """A runtime failed and another one took its place; the message names the cause."""


def one_line(error: BaseException) -> str:
    """Say in one line what went wrong; of an error of the system its words and the file, without its number."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror} ({error.filename})" if error.filename else error.strerror
    return " ".join(text.split())
