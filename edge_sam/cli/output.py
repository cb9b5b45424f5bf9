"""What the commands print: an object for programs, tables for people, and what is missing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from edge_sam.errors import MissingExtraError

if TYPE_CHECKING:
    from rich.table import Table


def print_json(value: object) -> None:
    """Print one JSON object on standard output.

    Not by msgspec's encoder: it refuses paths that are not UTF-8.
    """
    import json

    import msgspec

    typer.echo(json.dumps(msgspec.to_builtins(value), allow_nan=False))


def table(*columns: str, numbers: tuple[str, ...] = ()) -> Table:
    """Make a table without lines; the columns of `numbers` follow and are set right."""
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
