"""Two backends as one: the first runs the image encoder, the second everything else.

The fastest runtime for one is not always the fastest for the other (docs/lab/runtimes.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edge_sam.runtimes.session import Backend, Event, Session, SessionOptions

PLUS = "+"


class BackendPair:
    """A `Backend` of two others. Its device is theirs, joined by a plus.

    Parameters
    ----------
    names : tuple of str
        Names of both, for messages.
    encoder, others : Backend
        For the image encoder, and for the other components.
    """

    def __init__(self, names: tuple[str, str], encoder: Backend, others: Backend) -> None:
        self._names, self._both = names, (encoder, others)
        read = [name for name in encoder.MODEL_FORMATS if name in others.MODEL_FORMATS]
        self.MODEL_FORMATS: tuple[str, ...] = tuple(read)
        self.PACKAGES: tuple[str, ...] = tuple(dict.fromkeys((*encoder.PACKAGES, *others.PACKAGES)))
        self.BUILDS_ENGINES = encoder.BUILDS_ENGINES or others.BUILDS_ENGINES

    def why_unusable(self, device: str) -> str | None:
        """See `Backend`. Backends that build engines are refused."""
        for name, each, on in zip(self._names, self._both, _devices(device), strict=True):
            if each.BUILDS_ENGINES:
                return f"{name} builds engines; it runs a model alone"
            reason = each.why_unusable(on)
            if reason is not None:
                return f"{name}: {reason}"
        return None

    def install_command(self) -> str | None:
        """See `Backend`: the command for the first of the two that is missing."""
        missing = (each for each in self._both if each.why_unusable("") is not None)
        return next((each.install_command() for each in missing), None)

    def load_package(self) -> object:
        """See `Backend`."""
        return [each.load_package() for each in self._both]

    def runs_on_cpu(self, device: str) -> bool:
        """See `Backend`: whether both do."""
        return all(each.runs_on_cpu(on) for each, on in zip(self._both, _devices(device), strict=True))

    def arithmetics(self, device: str) -> tuple[str, ...]:
        """See `Arithmetics`: the image encoder's. The rest computes in fp32."""
        found = getattr(self._both[0], "arithmetics", None)
        return tuple(found(_devices(device)[0])) if found is not None else ()

    def hardware(self, device: str) -> str:
        """See `Backend`."""
        found = [each.hardware(on) for each, on in zip(self._both, _devices(device), strict=True)]
        return ", ".join(dict.fromkeys(found))

    def open_session(self, model: Path, options: SessionOptions) -> Session:
        """See `Backend`."""
        each, options = self._for(options)
        return each.open_session(model, options)

    def profile(
        self, model: Path, options: SessionOptions, inputs: Mapping[str, NDArray[Any]], runs: int
    ) -> list[Event]:
        """See `Profile`. Empty if the backend of this component has no profiler."""
        each, options = self._for(options)
        profile = getattr(each, "profile", None)
        return list(profile(model, options, inputs, runs)) if profile is not None else []

    def _for(self, options: SessionOptions) -> tuple[Backend, SessionOptions]:
        encoder, others = self._both
        first, second = _devices(options.device)
        if options.encoder:
            return encoder, replace(options, device=first)
        precision = "" if options.precision in self.arithmetics(options.device) else options.precision
        return others, replace(options, device=second, precision=precision)


def _devices(device: str) -> tuple[str, str]:
    first, _, second = device.partition(PLUS)
    return first, second
