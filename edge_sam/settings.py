"""The base of every set of settings.

A setting is declared once, as a field of a frozen dataclass: name, type, default, range (`msgspec.Meta`) and, under
"Attributes" in the docstring, its description. The command line makes its options from the fields, Python takes them as
keywords, reports print them, and caches are keyed by them.

A module cannot use ``from __future__ import annotations`` if the command line reads its settings through a subclass in
another module: the types of inherited fields would be text that means nothing there.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, get_args, get_type_hints

from msgspec import Meta

from edge_sam.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings whose numbers are checked against the ranges of their fields.

    Raises
    ------
    InputError
        A number lies outside its range.
    """

    def __post_init__(self) -> None:
        kind: Any = type(self)  # mypy takes no class with fields for hashable.
        for name, number, allowed in _ranges(kind):
            _check(name, getattr(self, name), number, allowed)


@functools.cache
def _ranges(kind: Any) -> tuple[tuple[str, type, Meta], ...]:
    hints = get_type_hints(kind, include_extras=True)
    return tuple((name, *found) for name, hint in hints.items() for found in _metas(hint))


def _metas(hint: Any) -> Iterator[tuple[type, Meta]]:
    for part in (hint, *get_args(hint)):  # `Annotated[int, …]`, or that or None.
        metas = (entry for entry in getattr(part, "__metadata__", ()) if isinstance(entry, Meta))
        yield from ((Integral if get_args(part)[0] is int else Real, meta) for meta in metas)


def _check(name: str, value: Any, number: type, allowed: Meta) -> None:
    if value is None:
        return
    if not isinstance(value, number) or isinstance(value, bool):
        kind = "whole number" if number is Integral else "number"
        raise InputError(f"{name} must be a {kind}, not {type(value).__name__}")
    given: Any = value  # mypy knows no comparison of `Integral`.
    inside = (
        (allowed.ge is None or given >= allowed.ge)
        and (allowed.gt is None or given > allowed.gt)
        and (allowed.le is None or given <= allowed.le)
        and (allowed.multiple_of is None or given % allowed.multiple_of == 0)
        and given < float("inf")  # False for NaN as well.
    )
    if not inside:
        raise InputError(f"{name} is {value:g}; it must be {_words(allowed)}")


def _words(allowed: Meta) -> str:
    text = f"more than {allowed.gt}" if allowed.gt is not None else f"at least {allowed.ge}"
    if allowed.le is not None:
        text = f"{allowed.ge} to {allowed.le}" if allowed.gt is None else f"{text}, at most {allowed.le}"
    return text if allowed.multiple_of is None else f"a multiple of {allowed.multiple_of}, {text}"
