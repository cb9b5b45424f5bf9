"""A model's components, loaded in a runtime, and the next runtime when one fails."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_sam.bundle import Bundle, Role
from edge_sam.cache import cache_home, recall, remember, runtime_key
from edge_sam.choice import Choice
from edge_sam.errors import EdgeSamError, InputError, RuntimeFallbackWarning
from edge_sam.guard import check_probe, run_probe
from edge_sam.profiles import PROFILES
from edge_sam.runtimes import RuntimeUnavailableError, Session, SessionOptions, backend, probe, split_runtime

_INPUTS: dict[Role, set[str]] = {
    "encoder": {"image"},
    "mask_encoder": {"image_embedding", "mask"},
    "decoder": {"image_tokens", "point_coords", "point_labels", "token_size"},
}
_log = logging.getLogger("edge_sam")
_T = TypeVar("_T")


class LoadedModel:
    """Encoder, mask encoder and decoder of a bundle in one precision, loaded in one runtime and trusted there.

    Parameters
    ----------
    bundle : Bundle
        Where the weights are.
    choice : Choice
        Runtime, precision and threads.
    build : bool
        Whether the runtime may compile for minutes.

    Attributes
    ----------
    choice : Choice
        What was loaded.
    encoder, mask_encoder, decoder : Session
        Tensors in and out as docs/bundle.md has them.
    padding : ndarray of float32, (64, 64, 256)
        Embedding of a frame that is all padding.
    no_mask : ndarray of float32, (256,)
        Added to every image token where a prompt has no mask.

    Raises
    ------
    InputError
        The bundle is damaged or lacks a component.
    RuntimeUnavailableError
        The runtime is not usable here, or computes something else than the model means.
    """

    def __init__(self, bundle: Bundle, choice: Choice, *, build: bool = False) -> None:
        self.choice = choice
        reason = probe(choice.runtime)
        if reason is not None:
            raise RuntimeUnavailableError(reason)
        key = runtime_key(bundle, choice.runtime, choice.precision)
        self.encoder, self.mask_encoder, self.decoder = (_open(bundle, role, choice, key, build) for role in _INPUTS)
        constants = bundle.constants(choice.precision)
        self.padding: NDArray[np.float32] = constants["padding"]
        self.no_mask: NDArray[np.float32] = constants["no_mask"]
        self._require_trust(bundle, key)

    def _require_trust(self, bundle: Bundle, key: str) -> None:
        """Probe the runtime with this model, once on a machine: the verdict is remembered (see `edge_sam.guard`)."""
        verdict = recall("guard", key)
        if verdict is None:
            try:
                stored = bundle.probe(self.choice.precision)
                verdict = {"rejected": None, "differences": check_probe(run_probe(self), stored, self.choice.precision)}
            except RuntimeUnavailableError as error:
                verdict = {"rejected": str(error)}
            remember("guard", key, {"runtime": self.choice.runtime, "precision": self.choice.precision, **verdict})
        if verdict.get("rejected"):
            raise RuntimeUnavailableError(f"it computes something else than the model means: {verdict['rejected']}")


class Model:
    """A bundle in the first of several choices that works, and in the next one when that fails.

    Parameters
    ----------
    bundle : Bundle
        Where the weights are.
    candidates : list of Choice
        What to try, best first.
    strict : bool
        Raise when the first fails instead of trying the next.

    Raises
    ------
    InputError
        The bundle is damaged or lacks a component.
    RuntimeUnavailableError
        No candidate is usable here; the message names the reason of each.
    """

    def __init__(self, bundle: Bundle, candidates: list[Choice], strict: bool) -> None:
        self._bundle, self._strict = bundle, strict
        self._left = list(candidates)
        self._failures: list[str] = []
        self._lock = threading.Lock()
        self.active = self._load_next()
        _log.info("%s in %s: %s", self.active.choice.runtime, self.active.choice.precision, self.active.choice.why)

    def attempt(self, action: Callable[[LoadedModel], _T]) -> _T:
        """Do something with the loaded model; when that fails, do it again with the next runtime.

        Parameters
        ----------
        action : callable
            Given the loaded model. It is called again from the start, so it must have no other effect than its
            result.

        Raises
        ------
        RuntimeUnavailableError
            Every runtime failed, or the first one and `strict` was given.
        """
        while True:
            model = self.active
            try:
                return action(model)
            except (EdgeSamError, MemoryError):
                raise
            except Exception as error:  # A runtime fails in as many classes as it has layers.
                self._replace(model, error)

    def _replace(self, failed: LoadedModel, error: Exception) -> None:
        """Put the next candidate in the place of one that failed while running, unless another thread has."""
        with self._lock:
            if self.active is not failed:
                return
            self._failures.append(f"{failed.choice.runtime} failed while running: {error}")
            if self._strict:
                raise RuntimeUnavailableError(self._failures[-1]) from error
            # Embeddings are tied to a precision, so one made before must still fit after.
            precision = failed.choice.precision
            self._left = [c for c in self._left if c.precision == precision and c.runtime != failed.choice.runtime]
            self.active = self._load_next()

    def _load_next(self) -> LoadedModel:
        while self._left:
            choice = self._left.pop(0)
            try:
                model = LoadedModel(self._bundle, choice)
            except RuntimeUnavailableError as error:
                self._failures.append(f"{choice.runtime} in {choice.precision}: {error}")
                if self._strict:
                    break
                continue
            if self._failures:
                cause = " ".join(self._failures[-1].split())
                warnings.warn(f"using {choice.runtime}: {cause}", RuntimeFallbackWarning, stacklevel=2)
            return model
        raise RuntimeUnavailableError("no usable runtime; " + "; ".join(self._failures))


def _open(bundle: Bundle, role: Role, choice: Choice, key: str, build: bool) -> Session:
    module = backend(choice.runtime)
    component = bundle.component(role, choice.precision, *module.MODEL_FORMATS)
    options = SessionOptions(
        threads=choice.threads,
        device=split_runtime(choice.runtime)[1],
        cache=cache_home() / "compiled" / key,
        shapes=PROFILES.get(role, {}),
        build=build,
    )
    session = module.open_session(bundle.verified_file(component), options)
    names = set(session.input_names)
    if names != _INPUTS[role] or names != {tensor.name for tensor in component.inputs}:
        raise InputError(f"bundle {bundle.path}: {component.file} is not the {role}; its inputs are {sorted(names)}")
    return session
