"""Prompts from a Python function in a file, an installed module or an entry point."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sam.errors import InputError, one_line
from edge_sam.prompts import Prompt

GROUP = "edge_sam.prompts"
"""Entry-point group for packages that provide prompt functions."""

PromptFunction = Callable[[NDArray[np.uint8], str], Sequence[Prompt | tuple[Prompt, str]]]
"""Takes a photograph, (height, width, 3) RGB, and its name. Returns prompts, each alone or with its category."""


def find_function(name: str) -> tuple[str, PromptFunction]:
    """Import a function. This runs the code of its file or module.

    Parameters
    ----------
    name : str
        ``path/to/file.py:function``, ``module:function`` of an importable module, or the name of an entry point in
        `GROUP`. Neither the file's folder nor the working folder is added to the import path, because either may hold a
        downloaded data set.

    Returns
    -------
    str
        ``/path/to/file.py:function`` or ``module:function``, valid in another process.
    callable
        See `PromptFunction`.

    Raises
    ------
    InputError
        The entry point, file, module or function does not exist, or its code fails.
    """
    if ":" not in name:
        points = {point.name: point.value for point in metadata.entry_points(group=GROUP)}
        if name not in points:
            known = f"; known: {', '.join(sorted(points))}" if points else ""
            raise InputError(
                f"unknown prompts {name!r}; give grid, a file, FILE.py:function, module:function, or an entry point of"
                f" {GROUP}{known}"
            )
        name = points[name]
    place, _, attribute = name.rpartition(":")
    try:
        if place.endswith(".py"):
            name = f"{Path(place).absolute()}:{attribute}"
            function: Any = _run(Path(place).absolute())
        else:
            function = importlib.import_module(place)
        for part in attribute.split("."):
            function = getattr(function, part)
    except (Exception, SystemExit) as error:  # The user's code may raise anything.
        reason = f"{type(error).__name__}: {one_line(error)}{_hint(place, error)}"
        raise InputError(f"cannot import {name}: {reason}") from error
    if not callable(function):
        raise InputError(f"{name} is not a function")
    return name, function


def _hint(place: str, error: BaseException) -> str:
    if not isinstance(error, ModuleNotFoundError):
        return ""
    if place.endswith(".py"):
        return "; to import modules beside the file, add their folder to PYTHONPATH"
    beside = Path(f"{place}.py")
    return f"; to use {beside} in this folder, give {beside}:NAME" if beside.is_file() else ""


def _run(file: Path) -> ModuleType:
    """Load a file as a module, once per process. Compiled code beside the file is ignored, as it may be forged."""
    name = f"edge_sam_prompts_{hashlib.sha256(os.fsencode(file)).hexdigest()[:16]}"
    if name not in sys.modules:
        module = ModuleType(name)
        module.__file__ = str(file)
        code = compile(file.read_bytes(), file, "exec", dont_inherit=True)
        sys.modules[name] = module  # Data classes look themselves up there.
        try:
            exec(code, module.__dict__)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def source_hash(function: PromptFunction) -> str:
    """Hash the source file of a function, to detect changes. Returns an empty string if there is no such file."""
    try:
        file = inspect.getsourcefile(inspect.unwrap(function))
    except TypeError:
        file = None
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file and Path(file).is_file() else ""
