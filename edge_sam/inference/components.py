"""Opening a bundle's components in a runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_sam.bundles.bundle import Bundle
from edge_sam.bundles.contract import Contract, Role
from edge_sam.bundles.manifest import Component
from edge_sam.errors import InputError
from edge_sam.inference.choice import Choice
from edge_sam.inference.decoder_parts import TwoPartDecoder
from edge_sam.inference.shape_ranges import profiles
from edge_sam.layouts import adapt, named_layout, pixels_of
from edge_sam.runtimes import Session, SessionOptions, Tensors, backend, split_runtime


class NoMaskPrompt(Session):
    """In the place of a mask encoder, for families that take no mask prompt."""

    def __init__(self) -> None:
        self.provider, self.input_names = "", ["image_embedding", "mask"]

    def run(self, _inputs: Mapping[str, Any]) -> Tensors:
        """Raise `InputError`."""
        raise InputError("this model takes no mask prompt; leave it out")


def session_options(choice: Choice, role: Role, contract: Contract) -> SessionOptions:
    """Return the options to open a component with, without a cache folder."""
    return SessionOptions(
        threads=choice.threads,
        device=split_runtime(choice.runtime)[1],
        shapes={} if contract.fixed else profiles(contract).get(role, {}),
        encoder=role == "encoder",
        steady=role == "encoder",
        precision=choice.precision,
        extra=choice.options,
    )


def open_component(bundle: Bundle, component: Component, choice: Choice, cache: Path | None, build: bool) -> Session:
    """Open a component.

    Parameters
    ----------
    bundle : Bundle
        The bundle that it belongs to.
    component : Component
        Its entry in the manifest.
    choice : Choice
        Runtime, precision and threads.
    cache : Path, optional
        Folder for what the runtime compiles. Without it, the model is compiled at each start.
    build : bool
        Whether the runtime may build an engine, which takes minutes.

    Raises
    ------
    InputError
        The file is damaged or holds another component.
    RuntimeUnavailableError
        The runtime cannot load it.
    """
    role = component.role
    options = replace(session_options(choice, role, bundle.contract), cache=cache, build=build)
    with bundle.unchanged(component) as file:
        session = backend(choice.runtime).open_session(file, options)
    names = set(session.input_names)
    known = bundle.layout is not None or names == bundle.contract.inputs[role].keys()
    if not known or names != {tensor.name for tensor in component.inputs}:
        raise InputError(f"bundle {bundle.path}: {component.file} is not the {role}; its inputs are {sorted(names)}")
    return session


def presented(bundle: Bundle, components: tuple[Component, ...], sessions: tuple[Session, ...]) -> tuple[Session, ...]:
    """Return encoder, mask encoder and decoder; those of an imported model behind the names of this package."""
    if bundle.contract.separate_upscaling:
        *others, attention, upscaling = sessions
        sessions = (*others, TwoPartDecoder(attention, upscaling))
    if bundle.layout is None:
        return sessions if bundle.contract.masks else (sessions[0], NoMaskPrompt(), sessions[1])
    encoder, decoder = components
    layout = named_layout(bundle.layout.name)
    positions = bundle.positions(encoder.precision) if "positions" in layout.inputs else None
    return adapt(layout, pixels_of(bundle.manifest), (encoder, decoder), sessions, positions)
