"""New matchers tried in the tests' own process, as in a program that is no interpreter: a child takes a second."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import pytest


@contextlib.contextmanager
def tried_here() -> Iterator[None]:
    """Start no child process for a matcher that is new."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", "a program with Python inside")
        yield


@pytest.fixture(autouse=True)
def all_tried_here() -> Iterator[None]:
    """`tried_here` for the tests of a module that imports it."""
    with tried_here():
        yield
