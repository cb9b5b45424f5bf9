"""What the ONNX Runtime backends share: opening a session, and finding out which provider really runs."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from edge_sam.runtimes.cores import default_threads
from edge_sam.runtimes.errors import RuntimeUnavailableError
from edge_sam.runtimes.session import SessionOptions

CPU = "CPUExecutionProvider"
_PRINTING = threading.Lock()
"""Held while standard output is turned away, which concerns the whole process."""
PACKAGES = ("onnxruntime", "onnxruntime-gpu")


def load_package() -> ModuleType:
    """See `Backend.load_package`; import ONNX Runtime with its telemetry off: an edge runtime is silent by default."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # Read when it is first imported.
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)  # A library that is missing is told by the error, once.
    module: ModuleType = onnxruntime
    return module


def preload_cuda() -> None:
    """Load CUDA's and cuDNN's libraries where they came as Python packages: the system's loader does not look there."""
    preload = getattr(load_package(), "preload_dlls", None)  # Since 1.21.
    if preload is not None:
        with _PRINTING, contextlib.redirect_stdout(None):
            preload()


def missing_provider(provider: str, command: str | None) -> str | None:
    """Return None when the installed ONNX Runtime has a provider, else why not and the command that brings it."""
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
    """Open a file, and make sure that the first of the providers is the one that runs.

    `profile` is what the name of a profile of the operators begins with; without it nothing is profiled.

    Raises
    ------
    RuntimeUnavailableError
        ONNX Runtime refused the file, or put another provider in the place of the first.
    """
    onnxruntime = load_package()
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4  # Errors come as exceptions; they need no line of their own.
    # Threads that spin on after a run would slow the next component down and burn an idle board's battery
    # (docs/lab/performance.md); within a run they may.
    settings.add_session_config_entry("session.force_spinning_stop", "1")
    if profile is not None:
        settings.enable_profiling, settings.profile_file_prefix = True, str(profile)
    # Left open, it starts one for each core of the machine and pins it there, whatever this process may use.
    settings.intra_op_num_threads = options.threads or default_threads() or 0
    try:
        # When a provider fails it prints to standard output, where only our own answer belongs.
        with _PRINTING, contextlib.redirect_stdout(None):
            session = onnxruntime.InferenceSession(
                str(model), settings, providers=[(name, dict(given)) for name, given in providers]
            )
    except Exception as error:  # ONNX Runtime raises a dozen unrelated classes, some of them private.
        raise RuntimeUnavailableError(f"ONNX Runtime could not load {model.name}: {error}") from error
    # Otherwise a run that fails would be repeated on the CPU without a word.
    session.disable_fallback()
    running, wanted = session.get_providers()[0], providers[0][0]
    if running != wanted:
        raise RuntimeUnavailableError(
            f"ONNX Runtime put {running} in the place of {wanted} for {model.name}: a library that the provider needs"
            " is missing or of another version; edge-sam doctor tells more"
        )
    return session
