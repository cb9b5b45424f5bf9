"""Check whether a runtime works here by running a small model."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from edge_sam.bundles.bundle import open_bundle
from edge_sam.bundles.contract import TOKENS
from edge_sam.imaging.geometry import LOGITS
from edge_sam.runtimes import (
    RuntimeUnavailableError,
    Session,
    SessionOptions,
    Tensors,
    backend,
    split_runtime,
    why_unusable,
)
from edge_sam.system.processes import python_command, reason_of_end

_NOT_RUN = "not run: building an engine takes minutes; edge-sam build does it and checks the result"
_SECONDS = 120
"""Time limit for a model of 14 KB. Loading the CUDA libraries from an SD card is slow."""


@dataclass(frozen=True)
class RuntimeCheck:
    """Result of checking a runtime.

    Attributes
    ----------
    runtime : str
        A name in `edge_sam.runtimes.BACKENDS`, optionally with a device after a colon.
    usable : bool, optional
        None if no problem is known but nothing was run.
    provider : str, optional
        The provider that ran, as the runtime names it.
    hardware : str, optional
        The hardware.
    why : str, optional
        Why it is unusable or was not run.
    fix : str, optional
        The command that fixes it; None if no package would.
    """

    runtime: str
    usable: bool | None
    provider: str | None = None
    hardware: str | None = None
    why: str | None = None
    fix: str | None = None


def check_runtime(runtime: str) -> RuntimeCheck:
    """Run a tiny real model in this process. Any exception becomes the reason why the runtime is unusable."""
    try:
        reason = why_unusable(runtime)
        command = backend(runtime).install_command()
        if reason is not None:
            helps = command is not None and command in reason
            why = reason.replace(f": {command}", "") if helps else reason
            return RuntimeCheck(runtime, usable=False, why=_line(why), fix=command if helps else None)
        device = split_runtime(runtime)[1]
        hardware = backend(runtime).hardware(device)
        if backend(runtime).BUILDS_ENGINES:
            return RuntimeCheck(runtime, usable=None, hardware=hardware, why=_NOT_RUN)
    except Exception as error:
        return RuntimeCheck(runtime, usable=False, why=_line(f"{type(error).__name__}: {error}"))
    try:
        provider = _infer(runtime, device)
    except RuntimeUnavailableError as error:
        return RuntimeCheck(runtime, usable=False, hardware=hardware, why=_line(str(error)), fix=command)
    except Exception as error:  # Runtimes raise many unrelated classes.
        why = _line(f"its first inference failed: {type(error).__name__}: {error}")
        return RuntimeCheck(runtime, usable=False, hardware=hardware, why=why, fix=command)
    return RuntimeCheck(runtime, usable=True, provider=provider, hardware=hardware)


def check_isolated(runtime: str, command: Sequence[str] = ()) -> RuntimeCheck:
    """Call `check_runtime` in a child process, so that a crash or a hang stays there."""
    try:
        command = command or python_command("edge_sam.doctor")
        done = subprocess.run([*command, runtime], capture_output=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return RuntimeCheck(runtime, usable=False, why=f"no result after {_SECONDS} s")
    except OSError:  # This system cannot start processes.
        return check_runtime(runtime)
    try:
        return msgspec.json.decode(done.stdout.splitlines()[-1], type=RuntimeCheck)
    except (IndexError, msgspec.DecodeError):
        return RuntimeCheck(runtime, usable=False, why=_line(f"it {reason_of_end(done.returncode, done.stderr)}"))


def _infer(runtime: str, device: str) -> str:
    """Encode two masks with the smallest component of the model. Returns the provider."""
    bundle, module = open_bundle("mobile-sam"), backend(runtime)
    component = bundle.component("mask_encoder", bundle.precisions[0], *module.MODEL_FORMATS)
    session: Session = module.open_session(bundle.verified_file(component), SessionOptions(device=device))
    tokens = session.run(_masks())["image_tokens"]
    if not np.isfinite(tokens).all():
        raise RuntimeUnavailableError("its results are not finite")
    if np.allclose(tokens[0], tokens[1]):
        raise RuntimeUnavailableError("its results for two different masks are equal")
    return session.provider


def _masks() -> Tensors:
    """Make inputs of the mask encoder: waves as image embedding, a disc and its inverse as logits."""
    embedding = np.sin(np.arange(np.prod(TOKENS), dtype=np.float32)).reshape(1, *TOKENS)
    y, x = np.mgrid[:LOGITS, :LOGITS]
    disc = np.where((x - 100) ** 2 + (y - 150) ** 2 < 60**2, np.float32(8), np.float32(-8))
    return {"image_embedding": embedding, "mask": np.stack([disc, -disc])}


def _line(text: str) -> str:
    """Shorten a runtime's error to one line: some put a whole stack trace into it."""
    return " ".join(text.split())[:400]
