"""Whether a runtime works here, proved by an inference on it."""

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

_NOT_RUN = "not run: building an engine takes minutes; edge-sam build does it and proves that it works"
_SECONDS = 120
"""How long a runtime may take for a model of 14 KB. Reading CUDA's libraries from an SD card takes a while."""


@dataclass(frozen=True)
class Trial:
    """What came of trying a runtime.

    Attributes
    ----------
    runtime : str
        A name in `edge_sam.runtimes.BACKENDS`, with a device after a colon where one was asked for.
    usable : bool, optional
        None where nothing speaks against it, but nothing was run either.
    provider : str, optional
        What really ran, as the runtime itself names it.
    hardware : str, optional
        What it ran on.
    why : str, optional
        Why it is not usable, or was not run.
    mend : str, optional
        The command that makes it usable; None where no package would.
    """

    runtime: str
    usable: bool | None
    provider: str | None = None
    hardware: str | None = None
    why: str | None = None
    mend: str | None = None


def try_runtime(runtime: str) -> Trial:
    """Run a tiny real model, in this process. Whatever is raised becomes the reason why the runtime is not usable."""
    try:
        reason = why_unusable(runtime)
        command = backend(runtime).install_command()
        if reason is not None:
            helps = command is not None and command in reason
            why = reason.replace(f": {command}", "") if helps else reason
            return Trial(runtime, usable=False, why=_line(why), mend=command if helps else None)
        device = split_runtime(runtime)[1]
        hardware = backend(runtime).hardware(device)
        if backend(runtime).BUILDS_ENGINES:
            return Trial(runtime, usable=None, hardware=hardware, why=_NOT_RUN)
    except Exception as error:
        return Trial(runtime, usable=False, why=_line(f"{type(error).__name__}: {error}"))
    try:
        provider = _infer(runtime, device)
    except RuntimeUnavailableError as error:
        return Trial(runtime, usable=False, hardware=hardware, why=_line(str(error)), mend=command)
    except Exception as error:  # A runtime fails in as many classes as it has layers.
        why = _line(f"its first inference failed: {type(error).__name__}: {error}")
        return Trial(runtime, usable=False, hardware=hardware, why=why, mend=command)
    return Trial(runtime, usable=True, provider=provider, hardware=hardware)


def try_isolated(runtime: str, command: Sequence[str] = ()) -> Trial:
    """Like `try_runtime`, in a process of its own: a library that crashes or hangs takes nothing else with it."""
    try:
        command = command or python_command("edge_sam.doctor")
        done = subprocess.run([*command, runtime], capture_output=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return Trial(runtime, usable=False, why=f"it had not answered after {_SECONDS} s")
    except OSError:  # No process can be started here.
        return try_runtime(runtime)
    try:
        return msgspec.json.decode(done.stdout.splitlines()[-1], type=Trial)
    except (IndexError, msgspec.DecodeError):
        return Trial(runtime, usable=False, why=_line(f"it {reason_of_end(done.returncode, done.stderr)}"))


def _infer(runtime: str, device: str) -> str:
    """Encode two masks with the smallest part of the model; returns the provider that did it."""
    bundle, module = open_bundle("mobile-sam"), backend(runtime)
    component = bundle.component("mask_encoder", bundle.precisions[0], *module.MODEL_FORMATS)
    session: Session = module.open_session(bundle.verified_file(component), SessionOptions(device=device))
    tokens = session.run(_masks())["image_tokens"]
    if not np.isfinite(tokens).all():
        raise RuntimeUnavailableError("it computes numbers that are not finite")
    if np.allclose(tokens[0], tokens[1]):
        raise RuntimeUnavailableError("it computes the same for two different masks")
    return session.provider


def _masks() -> Tensors:
    """Make the mask encoder's inputs: waves for an embedding, a disc and its opposite as logits."""
    embedding = np.sin(np.arange(np.prod(TOKENS), dtype=np.float32)).reshape(1, *TOKENS)
    y, x = np.mgrid[:LOGITS, :LOGITS]
    disc = np.where((x - 100) ** 2 + (y - 150) ** 2 < 60**2, np.float32(8), np.float32(-8))
    return {"image_embedding": embedding, "mask": np.stack([disc, -disc])}


def _line(text: str) -> str:
    """Make one line of what a runtime says: some put a stack of them into an error."""
    return " ".join(text.split())[:400]
