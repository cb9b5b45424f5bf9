"""A model's components loaded in a runtime, with fallback to the next runtime."""

from __future__ import annotations

import copy
import logging
import threading
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_sam.bundles.bundle import Bundle
from edge_sam.bundles.contract import Role
from edge_sam.bundles.manifest import Component
from edge_sam.errors import InputError, RuntimeFallbackWarning, RuntimeUnavailableError, one_line
from edge_sam.inference.cache import Verdict, read_verdict, runtime_key, write_record
from edge_sam.inference.choice import Choice, computes_in
from edge_sam.inference.compiled import CompiledFiles
from edge_sam.inference.components import open_component, presented
from edge_sam.inference.decoder_parts import TwoPartDecoder
from edge_sam.inference.facts import Facts
from edge_sam.inference.guard import check_probe, probe_bounds, run_probe
from edge_sam.inference.token_list import TokenList, token_list
from edge_sam.inference.trial import try_out
from edge_sam.runtimes import Session, backend, is_pair, why_unusable
from edge_sam.system.timing import stage

_log = logging.getLogger("edge_sam")
_T = TypeVar("_T")


class LoadedModel:
    """Encoder, mask encoder and decoder of a bundle in one precision, loaded in one runtime and checked there.

    Parameters
    ----------
    bundle : Bundle
        The bundle with the weights.
    choice : Choice
        Runtime, precision and threads.
    build : bool
        Whether the runtime may build engines, which takes minutes.

    Attributes
    ----------
    choice : Choice
        The choice that was loaded.
    encoder, mask_encoder, decoder : Session
        Sessions; docs/bundle.md lists their inputs and outputs.
    contract : Contract
        What they exchange.
    padding : ndarray of float32, (64, 64, 256), or None
        Image embedding of a frame that is all padding. None if the family does not pad.
    no_mask : ndarray of float32, (256,)
        Added to every image token if a prompt has no mask.
    timings : dict of str to float
        Milliseconds: ``compile`` for opening the sessions, and ``guard`` for the check, 0 if its verdict is cached.

    Raises
    ------
    InputError
        The bundle is damaged or lacks a component.
    RuntimeUnavailableError
        The runtime is not usable here, or computes wrong results.
    """

    def __init__(self, bundle: Bundle, choice: Choice, *, build: bool = False) -> None:
        self.choice, self.contract = choice, bundle.contract
        reason = why_unusable(choice.runtime)
        if reason is not None:
            raise RuntimeUnavailableError(reason)
        if not computes_in(choice.runtime, choice.precision):
            raise RuntimeUnavailableError(f"it does not compute in {choice.precision} on this machine")
        key = runtime_key(bundle, choice.runtime, choice.precision, choice.options)
        verdict = self._verdict(key)
        formats = backend(choice.runtime).MODEL_FORMATS
        if bundle.layout is not None and backend(choice.runtime).BUILDS_ENGINES:
            raise RuntimeUnavailableError("it builds engines for edge_sam's own graphs only, not for imported ones")
        components = tuple(bundle.component(role, choice.precision, *formats) for role in bundle.graphs)
        self.timings = {"compile": 0.0, "guard": 0.0}
        compiled = CompiledFiles(key)
        known = verdict is not None and compiled.match(verdict.compiled)
        if known:
            self._open(bundle, components, compiled, build)
            if not compiled.changed:
                return
        if not known and not build and backend(choice.runtime).BUILDS_ENGINES:
            # Before the lock: another process may build them now, which takes minutes.
            raise RuntimeUnavailableError(
                "its engines for this model are not built or not checked on this machine; build them: edge-sam build"
            )
        with compiled.alone():
            if known:  # OpenVINO compiles again for a model at another path or of another date.
                self._judge(bundle, key, compiled)
                return
            verdict = self._verdict(key)  # Another process may have judged it meanwhile.
            for component in components if verdict is None else ():
                bundle.check_named(component)
            compiled.keep_only({} if verdict is None else verdict.compiled)
            self._open(bundle, components, compiled, build)
            if verdict is None or compiled.changed:
                self._judge(bundle, key, compiled)

    @property
    def provider(self) -> str:
        """The provider that really runs the decoder, as the backend names it; of a pair, the encoder's too."""
        if not is_pair(self.choice.runtime):
            return self.decoder.provider
        return f"{self.encoder.provider} + {self.decoder.provider}"

    def listed_tokens(self, token_size: tuple[int, int]) -> TokenList | None:
        """Return the image tokens that the decoder takes for a photograph of so many rows and columns of tokens.

        None if it takes the whole grid.
        """
        return token_list(*token_size, self.choice.full_grid) if self.contract.weighted_tokens else None

    def _verdict(self, key: str) -> Verdict | None:
        """Return the guard's verdict so far. Raises `RuntimeUnavailableError` if it rejects the runtime."""
        bounds = probe_bounds(self.contract, self.choice.precision)
        verdict = read_verdict(key, self.choice.runtime, self.choice.precision, bounds)
        _raise_if_rejected(verdict)  # A rejected runtime need not compile first.
        return verdict

    def _open(self, bundle: Bundle, components: tuple[Component, ...], compiled: CompiledFiles, build: bool) -> None:
        """Open the sessions and read the constants."""
        with stage(self.timings, "compile"):
            sessions = tuple(
                open_component(bundle, component, self.choice, compiled.folder(component.role), build)
                for component in components
            )
        self.encoder, self.mask_encoder, self.decoder = presented(bundle, components, sessions)
        constants = bundle.constants(self.choice.precision)
        self.padding: NDArray[np.float32] | None = constants.get("padding")
        self.no_mask: NDArray[np.float32] = constants["no_mask"]

    def _judge(self, bundle: Bundle, key: str, compiled: CompiledFiles) -> None:
        """Write the guard's verdict. Raises `RuntimeUnavailableError` if it rejects the runtime."""
        with stage(self.timings, "guard"):
            verdict = msgspec.structs.replace(self._check(bundle), compiled=compiled.hashes())
        write_record(key, verdict)
        _raise_if_rejected(verdict)

    def _check(self, bundle: Bundle) -> Verdict:
        """Run the guard, as is done once on each machine (see `edge_sam.inference.guard`)."""
        precision, computed = self.choice.precision, run_probe(self)
        try:
            differences = check_probe(computed, bundle.probe(precision), precision)
        except RuntimeUnavailableError as error:
            return Verdict(self.choice.runtime, precision, str(error), {})
        return Verdict(self.choice.runtime, precision, None, differences)


def _raise_if_rejected(verdict: Verdict | None) -> None:
    if verdict is not None and verdict.rejected is not None:
        raise RuntimeUnavailableError(f"it computes wrong results: {verdict.rejected}")


class Model:
    """A bundle loaded with the first choice that works, and with the next one if that fails.

    Parameters
    ----------
    bundle : Bundle
        The bundle with the weights.
    candidates : list of Choice
        Choices to try, best first.
    strict : bool
        Whether to raise if the first choice fails, instead of trying the next.

    Attributes
    ----------
    bundle : Bundle
        As above.
    active : LoadedModel
        The model in use.

    Raises
    ------
    InputError
        The bundle is damaged or lacks a component.
    RuntimeUnavailableError
        No candidate is usable here; the message gives the reason for each.
    """

    def __init__(self, bundle: Bundle, candidates: list[Choice], strict: bool) -> None:
        self.bundle, self._strict = bundle, strict
        self._left = list(candidates)
        self._lock = threading.Lock()
        self.active = self._load_next([])
        _log.info("%s in %s: %s", self.active.choice.runtime, self.active.choice.precision, self.active.choice.why)

    def attempt(self, action: Callable[[LoadedModel], _T]) -> tuple[LoadedModel, _T]:
        """Call a function with the loaded model. If it fails, call it again with the next runtime.

        Parameters
        ----------
        action : callable
            Takes the loaded model. It may be called several times, so it must have no side effects.

        Returns
        -------
        model : LoadedModel
            The model that worked.
        result
            The result of `action`.

        Raises
        ------
        RuntimeUnavailableError
            Every runtime failed, or the first one failed and `strict` was set.
        """
        while True:
            model = self.active
            try:
                return model, action(model)
            except (InputError, MemoryError):
                raise
            except Exception as error:  # Runtimes raise many unrelated classes.
                self._replace(model, error)

    @property
    def facts(self) -> Facts:
        """What answers: the model and how it runs, for reports."""
        manifest, choice = self.bundle.manifest, self.active.choice
        return Facts(
            manifest.name,
            manifest.source.sha256,
            choice.precision,
            choice.runtime,
            self.active.provider,
            self.bundle.layout is not None,
        )

    @property
    def recipe(self) -> tuple[Path, list[Choice], bool]:
        """The arguments that load the same model again: bundle folder, remaining choices and `strict`."""
        return self.bundle.path.absolute(), [self.active.choice, *self._left], self._strict

    def replaced(self, sessions: Mapping[Role, Session]) -> Model:
        """Return a copy with other sessions for some of the bundle's components. The guard does not check them."""
        model = copy.copy(self)
        model.active = copy.copy(self.active)
        changed = dict(sessions)
        whole = self.active.decoder
        if isinstance(whole, TwoPartDecoder):
            parts = changed.pop("decoder", whole.attention), changed.pop("upscaling", whole.upscaling)
            changed["decoder"] = TwoPartDecoder(*parts)
        for role, session in changed.items():
            setattr(model.active, role, session)
        return model

    def _replace(self, failed: LoadedModel, error: Exception) -> None:
        """Replace a model that failed while running with the next candidate, unless another thread did."""
        with self._lock:
            if self.active is not failed:
                return
            cause = f"{failed.choice.runtime} failed while running: {error}"
            if self._strict:
                raise RuntimeUnavailableError(cause) from error
            # Embeddings depend on the precision, so existing ones must stay valid.
            precision = failed.choice.precision
            self._left = [c for c in self._left if c.precision == precision and c.runtime != failed.choice.runtime]
            self.active = self._load_next([cause])

    def _load_next(self, causes: list[str]) -> LoadedModel:
        """Load the first remaining candidate that works. Failures are appended to `causes`."""
        while self._left:
            choice = self._left.pop(0)
            try:
                try_out(self.bundle, choice)
                model = LoadedModel(self.bundle, choice)
            except (InputError, MemoryError):  # The bundle is at fault, not the runtime.
                raise
            except Exception as error:  # A broken installation can raise anything.
                causes.append(f"{choice.runtime} in {choice.precision}: {one_line(error)}")
                if self._strict:
                    break
                continue
            if causes:
                message = f"using {choice.runtime}: {'; '.join(causes)}"
                warnings.warn(message, RuntimeFallbackWarning, stacklevel=2)
            return model
        raise RuntimeUnavailableError("no usable runtime; " + "; ".join(causes))
