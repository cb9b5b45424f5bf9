"""What a backend is: a module with `why_unusable` and `open_session`, and the session that it opens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

Tensors = dict[str, NDArray[Any]]
Shapes = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Smallest, usual and largest shape of an input."""
Event = dict[str, Any]
"""One node of one run, as a complete event of the Chrome trace format: `name`, `ts` and `dur` in microseconds, and in
`args` the node's name as the model has it (`node`) and its kind (`op_name`)."""


@dataclass(frozen=True)
class SessionOptions:
    """How to open a model component. A backend takes what it has a use for.

    Attributes
    ----------
    threads : int, optional
        Threads for one inference. Default: `cores.default_threads`, else the backend's own number.
    device : str
        Which of the backend's devices: what follows the colon in ``"openvino:GPU"`` or ``"cuda:1"``; empty for the
        first.
    cache : Path, optional
        Folder for what the backend compiles. It belongs to this model file, backend and version alone: whoever gives
        it puts all of that into its name. Default: nothing is kept.
    shapes : mapping of str to Shapes
        For backends that compile for a range of shapes: the range of each input whose shape is free.
    steady : bool
        Whether inputs mostly have the shapes of the run before, so that it pays to compile for them.
    precision : str
        Of the file: ``fp32``, ``w16``, ``fp16`` or ``int8``, for backends that must be allowed a number's type.
    extra : mapping of str to str
        Passed to the backend as they are.
    build : bool
        Whether it may compile for minutes. Otherwise a backend that would have to refuses.
    """

    threads: int | None = None
    device: str = ""
    cache: Path | None = None
    shapes: Mapping[str, Shapes] = field(default_factory=dict)
    steady: bool = False
    precision: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)
    build: bool = False


class Session(Protocol):
    """One loaded model component. Sessions inherit from it, for what most of them do alike."""

    provider: str
    """The provider that really runs, as the backend itself names it."""

    input_names: list[str]
    """Names of the tensors that `run` takes."""

    def upload(self, array: NDArray[Any]) -> Any:
        """Bring an array to where the session computes, for `run` to take as often as wanted.

        On a CPU that is the array itself.
        """
        return array

    def run(self, inputs: Mapping[str, Any]) -> Tensors:
        """Run once. Thread-safe. Inputs are C-contiguous arrays, or from `upload`; outputs are arrays."""
        ...

    def warm_up(self, inputs: Mapping[str, Any]) -> None:
        """Run, and return once further runs with inputs of these shapes take as long as they ever will."""
        self.run(inputs)

    def release_memory(self) -> None:
        """Give back the memory that runs leave reserved for the next one, where the backend can."""
        return None


class Backend(Protocol):
    """A backend module."""

    MODEL_FORMATS: tuple[str, ...]
    """Which artefacts it reads: each a `format` of the bundle's manifest, the one it prefers first."""

    PACKAGES: tuple[str, ...]
    """Names of the distributions that it may come in; their versions are part of what a cache is keyed by."""

    COMPILES_FOR_MINUTES: bool
    """Whether it compiles each model for so long that nobody should meet it unasked."""

    def why_unusable(self, device: str) -> str | None:
        """Return None when usable here, else one line that says why not and what mends it. Loads no model."""
        ...

    def install_command(self) -> str | None:
        """Return the pip command that brings its packages, or mends them; None where none is known for this machine.

        `why_unusable` ends with it where that is what helps.
        """
        ...

    def load_package(self) -> object:
        """Import its package, as the first session would."""
        ...

    def hardware(self, device: str) -> str:
        """Name what it computes on, driver included, for keys and reports; loads no model."""
        ...

    def open_session(self, model: Path, options: SessionOptions) -> Session:
        """Load `model`. Raises `RuntimeUnavailableError` when that fails or another device would do the work."""
        ...


Profile = Callable[[Path, SessionOptions, Mapping[str, NDArray[Any]], int], list[Event]]
"""The function `profile` of a backend that can tell where a run's time goes: ``profile(model, options, inputs, runs)``.

It opens the model as `open_session` does, but with the profiler on, runs once to warm up and `runs` times more, and
returns the nodes of the runs that count in the order in which they ran.
"""
