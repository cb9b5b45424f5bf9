"""Printing: JSON, lines and tables, and missing extras."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from edge_sam.errors import EdgeSamError, MissingExtraError
from edge_sam.files.text import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text


def echo(text: object, *, err: bool = False) -> None:
    """Print a line on standard output, or with `err` on standard error."""
    with contextlib.suppress(OSError) if err else _standard_output():
        print(printable(str(text)), file=sys.stderr if err else sys.stdout, flush=True)


def print_json(value: object) -> None:
    """Print one JSON object on standard output.

    Not by msgspec's encoder: it refuses paths that are not UTF-8.
    """
    import json

    import msgspec

    echo(json.dumps(msgspec.to_builtins(value), allow_nan=False))


def plain_console(*, stderr: bool = False, soft_wrap: bool = False) -> Console:
    """Make a rich console that takes every string for plain text: ``[/b]`` in a path is no markup."""
    from rich.console import Console

    class PlainConsole(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(printable(text), **options)

        def print(self, *objects: Any, **options: Any) -> None:
            with contextlib.suppress(OSError) if self.stderr else _standard_output():
                super().print(*objects, **options)

        def on_broken_pipe(self) -> None:
            raise  # Rich calls this while it handles the error, and would end the process.

    return PlainConsole(stderr=stderr, soft_wrap=soft_wrap, highlight=False, markup=False, emoji=False)


def table(*columns: str, numbers: tuple[str, ...] = ()) -> Table:
    """Make a table without lines. The columns of `numbers` come last, right-aligned."""
    from rich.table import Table

    made = Table(*columns, box=None, pad_edge=False)
    for column in numbers:
        made.add_column(column, justify="right")
    return made


@contextlib.contextmanager
def needs(extra: str, what: str) -> Iterator[None]:
    """Say which extra of the package to install where an import in here fails."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f'{what} needs {error.name}, which is not installed: pip install "edge-sam[{extra}]"'
        ) from error


@contextlib.contextmanager
def _standard_output() -> Iterator[None]:
    """Report a failed write to standard output (full disk, closed pipe), and keep Python from reporting it again."""
    try:
        yield
    except OSError as error:
        with contextlib.suppress(OSError, AttributeError):  # Else Python tries again at its end, and complains.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise EdgeSamError(f"cannot write to standard output: {error.strerror or error}") from error
