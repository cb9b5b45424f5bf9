"""Progress on standard error, for a terminal only."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from edge_sam.cli.output import plain_console
from edge_sam.files.text import printable


@contextlib.contextmanager
def progress_bar(what: str, steps: int) -> Iterator[Callable[[], None]]:
    """Show a progress bar that each call of the yielded function advances. Without a terminal, show nothing."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    terminal = plain_console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        task = bar.add_task(printable(what), total=steps)
        yield lambda: bar.advance(task)


@contextlib.contextmanager
def status(text: str) -> Iterator[Callable[[object], None]]:
    """Show a line that each call of the yielded function replaces. Without a terminal, format and show nothing."""
    from rich.text import Text

    terminal = plain_console(stderr=True)
    if not terminal.is_terminal:
        yield lambda _: None
        return
    with terminal.status(Text(text)) as line:
        yield lambda shown: line.update(Text(printable(str(shown))))
