"""The base of every set of settings.

A setting is declared once, as a field of a frozen dataclass: name, type, default, range (`msgspec.Meta`) and, under
"Attributes" in the docstring, its description. The command line makes its options from the fields, Python takes them as
keywords, reports print them, and caches are keyed by them.

Modules that declare settings do without ``from __future__ import annotations``: the command line reads the types of
inherited fields, which as text would mean nothing in the module of a subclass.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Real
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
        for name, allowed in _ranges(kind):
            _check(name, getattr(self, name), allowed)


@functools.cache
def _ranges(kind: Any) -> tuple[tuple[str, Meta], ...]:
    hints = get_type_hints(kind, include_extras=True)
    return tuple((name, allowed) for name, hint in hints.items() for allowed in _metas(hint))


def _metas(hint: Any) -> Iterator[Meta]:
    for part in (hint, *get_args(hint)):  # `Annotated[int, …]`, or that or None.
        yield from (entry for entry in getattr(part, "__metadata__", ()) if isinstance(entry, Meta))


def _check(name: str, value: Any, allowed: Meta) -> None:
    if value is None:
        return
    if not isinstance(value, Real) or isinstance(value, bool):
        raise InputError(f"{name} must be a number, not {type(value).__name__}")
    number = float(value)
    inside = (
        (allowed.ge is None or number >= allowed.ge)
        and (allowed.gt is None or number > allowed.gt)
        and (allowed.le is None or number <= allowed.le)
        and (allowed.multiple_of is None or number % allowed.multiple_of == 0)
        and number < float("inf")  # False for NaN as well.
    )
    if not inside:
        raise InputError(f"{name} is {value:g}; it must be {_words(allowed)}")


def _words(allowed: Meta) -> str:
    low = f"more than {allowed.gt}" if allowed.gt is not None else f"at least {allowed.ge}"
    text = low if allowed.le is None else f"{allowed.ge} to {allowed.le}"
    return text if allowed.multiple_of is None else f"a multiple of {allowed.multiple_of}, {text}"
