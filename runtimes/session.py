"""The protocols that a backend implements: the module itself and the sessions that it opens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

Tensors = dict[str, NDArray[Any]]
ShapeRange = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Smallest, typical and largest shape of an input."""
Event = dict[str, Any]
"""One node of one run, as a complete event of the Chrome trace format: `name`, `ts` and `dur` in microseconds. Its
`args` hold the node's name in the model (`node`) and its operator (`op_name`)."""


@dataclass(frozen=True)
class SessionOptions:
    """How to open a model component. A backend ignores options that it has no use for.

    Attributes
    ----------
    threads : int, optional
        Threads for one inference. Default: `cores.default_threads`, else the backend's default.
    device : str
        One of the backend's devices, the part after the colon in ``"openvino:GPU"`` or ``"cuda:1"``. Empty: the first.
    cache : Path, optional
        Folder for compiled models. The caller must use one folder for each model file, backend and version. Default:
        nothing is kept.
    shapes : mapping of str to ShapeRange
        Range of each input with a dynamic shape, for backends that compile for a range.
    encoder : bool
        Whether the component is an image encoder.
    steady : bool
        Whether most inputs have the same shapes as in the previous run, so that compiling for them pays off.
    precision : str
        Precision of the file (``fp32``, ``w16``, ``fp16`` or ``int8``), for backends that must enable number types; or
        one of the backend's arithmetics, which is then to be used.
    extra : mapping of str to str
        Options passed to the backend unchanged.
    build : bool
        Whether the backend may build an engine, which takes minutes. If False, it raises instead.
    """

    threads: int | None = None
    device: str = ""
    cache: Path | None = None
    shapes: Mapping[str, ShapeRange] = field(default_factory=dict)
    encoder: bool = False
    steady: bool = False
    precision: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)
    build: bool = False


class Session(Protocol):
    """One loaded model component. Backends inherit from it to get the default methods."""

    provider: str
    """The provider in use, as the backend names it."""

    input_names: list[str]
    """Names of the tensors that `run` takes."""

    def upload(self, array: NDArray[Any]) -> Any:
        """Copy an array to the session's device, so that several calls of `run` can take it.

        On a CPU this is the array itself.
        """
        return array

    def run(self, inputs: Mapping[str, Any]) -> Tensors:
        """Run once. Thread-safe. Inputs are C-contiguous arrays or come from `upload`. Outputs are arrays."""
        ...

    def warm_up(self, inputs: Mapping[str, Any]) -> None:
        """Run until later runs with inputs of these shapes are as fast as they will get."""
        self.run(inputs)

    def release_memory(self) -> None:
        """Release the memory that is reserved for the next run, if the backend can."""
        return None


class Backend(Protocol):
    """A backend module."""

    MODEL_FORMATS: tuple[str, ...]
    """Formats of the bundle's manifest that it reads, preferred one first."""

    PACKAGES: tuple[str, ...]
    """Distributions that it may come in. Cache keys and reports contain their versions."""

    BUILDS_ENGINES: bool
    """Whether it compiles each model ahead of time for a range of shapes, which takes minutes. Such a backend refuses
    to open a session without an engine unless `SessionOptions.build` is set, and must not get shapes beyond the range,
    for which it would build another engine in the middle of a run."""

    def why_unusable(self, device: str) -> str | None:
        """Return None if usable here, else one line with the reason and the fix. Loads no model."""
        ...

    def install_command(self) -> str | None:
        """Return the pip command that installs or repairs its packages, or None if there is none for this machine.

        `why_unusable` ends with this command if it is the fix.
        """
        ...

    def load_package(self) -> object:
        """Import its package, as the first session would."""
        ...

    def runs_on_cpu(self, device: str) -> bool:
        """Tell whether it computes on the CPU with this device. Loads nothing."""
        ...

    def hardware(self, device: str) -> str:
        """Name the hardware, driver included, for cache keys and reports. Loads no model."""
        ...

    def open_session(self, model: Path, options: SessionOptions) -> Session:
        """Load `model`. Raises `RuntimeUnavailableError` if that fails or another device would run it."""
        ...


Profile = Callable[[Path, SessionOptions, Mapping[str, NDArray[Any]], int], list[Event]]
"""The optional function `profile` of a backend: ``profile(model, options, inputs, runs)``.

It opens the model as `open_session` does, with the profiler on, runs it once to warm up and then `runs` times. It
returns the nodes of the timed runs in the order in which they ran.
"""

Arithmetics = Callable[[str], tuple[str, ...]]
"""The optional function `arithmetics` of a backend: ``arithmetics(device)``.

It lists the precisions that the backend computes in on this device, whatever its files are stored in, besides fp32. It
loads no model.
"""
