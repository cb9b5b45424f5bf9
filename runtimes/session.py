"""What a backend is: a module with `probe` and `open_session`, and the session that it opens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

Tensors = dict[str, NDArray[Any]]


class RuntimeUnavailableError(RuntimeError):
    """A backend cannot be used on this machine; the message says why and what mends it."""


class Session(Protocol):
    """One loaded model component."""

    provider: str
    """The provider that really runs, as the backend itself names it."""

    input_names: list[str]
    """Names of the tensors that `run` takes."""

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Tensors:
        """Run once. Thread-safe. Arrays in and out are C-contiguous and live in host memory."""
        ...


class Backend(Protocol):
    """A backend module."""

    MODEL_FORMAT: str
    """Which artefact it reads: a `format` of the bundle's manifest."""

    def probe(self) -> str | None:
        """Return None when usable here, else one line that says why not. Loads no model."""
        ...

    def open_session(self, model: Path, threads: int | None) -> Session:
        """Load `model`. `threads` None means the backend's default: one for each physical core."""
        ...
