"""`edge-sam models` and `edge-sam pull`: the zoo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edge_sam.cli.options import Json
from edge_sam.cli.output import echo, plain_console, print_json, table

if TYPE_CHECKING:
    from edge_sam.bundles.zoo import ZooModel


def models(*, json: Json = False) -> None:
    """List the models of the zoo: family, size, licence, and where each comes from."""
    import msgspec

    from edge_sam.bundles.bundle import file_sha256
    from edge_sam.bundles.zoo import checkpoint_path, read_index
    from edge_sam.files.cache_home import cache_home

    home = cache_home()
    rows = []
    for model in read_index().values():
        path = checkpoint_path(model, home)
        pulled = path.is_file() and file_sha256(path) == model.sha256
        facts = msgspec.to_builtins(model)
        rows.append({**facts, "bundled": model.bundled, "checkpoint": str(path) if pulled else None})
    if json:
        print_json({"cache": str(home), "models": rows})
        return
    listed = table("name", "family", "size", "licence", "ready in the package", "checkpoint")
    for row in rows:
        size = f"{row['bytes'] / 1e6:.1f} MB"
        terms = row["license"] if row["commercial"] else f"{row['license']} (non-commercial)"
        listed.add_row(
            row["name"],
            row["family"],
            size,
            terms,
            "yes" if row["bundled"] else "no",
            row["checkpoint"] or "not pulled",
        )
    console = plain_console()
    console.print(listed)
    for model in read_index().values():
        console.print(f"{model.name}: from {', then '.join(map(str, model.sources))}", soft_wrap=True)
    console.print(f"cache: {home}", soft_wrap=True)


def pull(name: str, /, *, accept_license: bool = False, json: Json = False) -> None:
    """Download a model's checkpoint into the cache, checked against its sha256.

    Parameters
    ----------
    name
        Model of the zoo; edge-sam models lists them.
    accept_license
        Accept a licence that forbids commercial use.
    """
    from edge_sam.bundles import zoo

    model = zoo.find_model(name, zoo.read_index())
    echo(f"{model.name}: {model.bytes / 1e6:.1f} MB, licence {model.license}, {model.license_url}", err=True)
    zoo.require_license(model, accept_license)
    path = _pull_with_progress(model)
    if json:
        print_json({"name": model.name, "checkpoint": str(path), "sha256": model.sha256})
    else:
        echo(path)


def _pull_with_progress(model: ZooModel) -> Path:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from edge_sam.bundles import download
    from edge_sam.files.cache_home import cache_home

    console = plain_console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(model.name, total=None)

        announced: set[str] = set()

        def show(source: str, done: int, total: int) -> None:
            if not console.is_terminal and source not in announced:
                announced.add(source)
                echo(f"from {source}", err=True)
            bar.update(task, description=source, completed=done, total=total or None)

        return download.pull(model, cache_home(), show)
