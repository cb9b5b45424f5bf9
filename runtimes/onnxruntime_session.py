"""Shared code of the ONNX Runtime backends: open a session and check which provider runs."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from edge_sam.runtimes.cores import crowded, default_threads
from edge_sam.runtimes.errors import RuntimeUnavailableError
from edge_sam.runtimes.session import SessionOptions

CPU = "CPUExecutionProvider"
_PRINTING = threading.Lock()
"""Held while standard output is redirected, which affects the whole process."""
_RECORD_ASSIGNMENT = "session.record_ep_graph_assignment_info"
"""Setting of a session that remembers which provider runs which node. Since ONNX Runtime 1.24; others ignore it."""
PACKAGES = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-openvino",
    "onnxruntime-directml",
    "onnxruntime-qnn",
    "onnxruntime-migraphx",
)
"""Distributions that install the package `onnxruntime`."""


def load_package() -> ModuleType:
    """Import ONNX Runtime with its telemetry off; see `Backend.load_package`."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # Read at the first import.
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)  # Errors reach us as exceptions.
    module: ModuleType = onnxruntime
    return module


def preload_cuda() -> None:
    """Load the CUDA and cuDNN libraries from Python packages, where the system's loader does not look."""
    preload = getattr(load_package(), "preload_dlls", None)  # Since 1.21.
    if preload is not None:
        with _PRINTING, contextlib.redirect_stdout(None):
            preload()


def missing_provider(provider: str, command: str | None) -> str | None:
    """Return None if the installed ONNX Runtime has a provider, else the reason and the install command."""
    remedy = f": {command}" if command else "; no wheels with it are known for this machine"
    try:
        available = load_package().get_available_providers()
    except ImportError as error:
        return f"onnxruntime cannot be imported ({error}){remedy}"
    if provider not in available:
        return f"the installed onnxruntime has no {provider}{remedy}"
    return None


def open_inference_session(
    model: Path,
    options: SessionOptions,
    providers: Sequence[tuple[str, Mapping[str, str]]],
    profile: Path | None = None,
) -> Any:
    """Open a model file and require that the first provider runs it.

    With `profile`, operators are profiled into a file whose name starts with it.

    Raises
    ------
    RuntimeUnavailableError
        ONNX Runtime rejected the file, or replaced the first provider with another.
    """
    onnxruntime = load_package()
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4  # Errors reach us as exceptions.
    # Threads that keep spinning after a run slow the next component down and drain the battery of an idle board
    # (docs/lab/performance.md). Within a run they may spin.
    settings.add_session_config_entry("session.force_spinning_stop", "1")
    if len(providers) > 1:
        settings.add_session_config_entry(_RECORD_ASSIGNMENT, "1")
    if profile is not None:
        settings.enable_profiling, settings.profile_file_prefix = True, str(profile)
    # By default ONNX Runtime pins one thread to each core of the machine, even if this process may use fewer.
    threads = options.threads or default_threads() or 0
    settings.intra_op_num_threads = threads
    if crowded(threads):  # A thread that spins takes the CPU from the one that it waits for.
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        # A provider that fails prints to standard output, which must carry only our results.
        with _PRINTING, contextlib.redirect_stdout(None):
            session = onnxruntime.InferenceSession(
                str(model), settings, providers=[(name, dict(given)) for name, given in providers]
            )
    except Exception as error:  # ONNX Runtime raises a dozen unrelated classes, some of them private.
        raise RuntimeUnavailableError(f"ONNX Runtime could not load {model.name}: {error}") from error
    # Otherwise ONNX Runtime silently repeats a failed run on the CPU.
    session.disable_fallback()
    running, wanted = session.get_providers()[0], providers[0][0]
    if running != wanted:
        raise RuntimeUnavailableError(
            f"ONNX Runtime replaced {wanted} with {running} for {model.name}: a library that the provider needs is"
            " missing or has the wrong version; see edge-sam doctor"
        )
    return session
