"""Prompts from a Python function: ``module:function``, or the name of an entry point."""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import InputError
from edge_sam.prompts import Prompt

GROUP = "edge_sam.prompts"
"""Entry-point group in which packages announce functions that make prompts."""

PromptFunction = Callable[[NDArray[np.uint8], str], Sequence[Prompt | tuple[Prompt, str]]]
"""Given a photograph, (height, width, 3) RGB, and its name: prompts, each alone or with its category."""


def find_function(name: str) -> tuple[str, PromptFunction]:
    """Import a function.

    Parameters
    ----------
    name : str
        ``module:function``, or the name of an entry point in `GROUP`.

    Returns
    -------
    str
        The same as ``module:function``.
    callable
        See `PromptFunction`.

    Raises
    ------
    InputError
        There is no such entry point, module or function.
    """
    if ":" not in name:
        points = {point.name: point.value for point in metadata.entry_points(group=GROUP)}
        if name not in points:
            known = f"; known: {', '.join(sorted(points))}" if points else ""
            raise InputError(
                f"prompts {name!r} are neither grid, nor a file, nor module:function, nor an entry point of"
                f" {GROUP}{known}"
            )
        name = points[name]
    module, _, attribute = name.partition(":")
    try:
        function: Any = importlib.import_module(module)
        for part in attribute.split("."):
            function = getattr(function, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"cannot import {name}: {error}") from error
    if not callable(function):
        raise InputError(f"{name} is not a function")
    return name, function


def source_hash(function: PromptFunction) -> str:
    """Hash of the file that a function is written in, so that a change of it does not go unnoticed."""
    try:
        file = inspect.getsourcefile(inspect.unwrap(function))
    except TypeError:
        file = None
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file and Path(file).is_file() else ""
