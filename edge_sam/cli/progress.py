"""Progress on standard error, for a terminal only."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress_bar(what: str, steps: int) -> Iterator[Callable[[], None]]:
    """Show a bar that goes on by one of `steps` at each call of what is yielded; in a pipe show nothing."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=steps)
        yield lambda: bar.advance(task)


@contextlib.contextmanager
def status(text: str) -> Iterator[Callable[[object], None]]:
    """Show a line that each call of what is yielded replaces; in a pipe nothing is shown, or made into text."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status(text) as line:
        yield lambda shown: line.update(str(shown))
