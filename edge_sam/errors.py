"""The errors that edge_sam raises on purpose. Each message is one line: what went wrong and what to do."""

from __future__ import annotations

from edge_sam.runtimes.errors import EdgeSamError, InputError, RuntimeUnavailableError

__all__ = [
    "AccuracyError",
    "DownloadError",
    "EdgeSamError",
    "ExportError",
    "InputError",
    "MissingExtraError",
    "RuntimeFallbackWarning",
    "RuntimeUnavailableError",
    "TooManyPixelsError",
    "one_line",
]


class MissingExtraError(EdgeSamError, ImportError):
    """A command needs an optional dependency that is not installed."""


class TooManyPixelsError(InputError):
    """An image has more pixels than are allowed. Nothing was decoded."""


class DownloadError(EdgeSamError):
    """No source delivered the complete file with the right hash."""


class ExportError(EdgeSamError):
    """An exported artefact disagrees with the model it was made from. Nothing was written."""


class AccuracyError(EdgeSamError):
    """A quantised model's masks are worse than allowed. Nothing was written."""


class RuntimeFallbackWarning(RuntimeWarning):
    """A runtime failed and another one replaced it. The message names the cause."""


def one_line(error: BaseException) -> str:
    """Return an error's message as one line. For an `OSError` this is the reason and the file, without the number."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror} ({error.filename})" if error.filename else error.strerror
    return " ".join(text.split())
