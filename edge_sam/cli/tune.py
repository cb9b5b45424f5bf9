"""`edge-sam tune`: measure every way of running a model or a matcher here, and let `auto` use the fastest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from edge_sam.cli.options import Json
from edge_sam.cli.output import echo, plain_console, print_json, table
from edge_sam.cli.progress import status
from edge_sam.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_sam.benchmark.tuning import Tunable

_MAX_PHOTOGRAPHS = 4
_TITLES = {"iou": "IoU"}


def tune(
    bundle: str | None = None,
    /,
    *,
    matcher: list[Path] | None = None,
    image: list[Path] | None = None,
    runtime: list[str] | None = None,
    threads: str | None = None,
    rounds: Annotated[int, Parameter(validator=Number(gte=1))] = 5,
    json: Json = False,
) -> None:
    """Time every usable runtime, precision and number of threads, and remember the fastest for this machine.

    Combinations whose masks, or a matcher's boxes and scores, differ from fp32 on the CPU are dropped. `auto` uses the
    result until the machine, the model or a runtime's version changes.

    Parameters
    ----------
    bundle
        Model name or bundle folder. Default: mobile-sam.
    matcher
        In place of the model: folder or file of a text model (docs/text.md). Repeatable: two files may belong together.
    image
        Photograph, or folder of them, like those you will segment; repeatable.
    runtime
        Only this runtime; repeatable. Default: all, and OpenVINO for the encoder beside ONNX Runtime for the rest.
    threads
        Comma-separated numbers of threads to try.
    rounds
        Timed rounds over all photographs.
    """
    import edge_sam
    from edge_sam.benchmark import tuning

    if bundle is not None and matcher:
        raise InputError("tune measures a model or a matcher; give one of them")
    photographs = _photographs(image or [])
    tunable = _tunable(bundle or "mobile-sam", matcher, photographs)
    for name in runtime or []:
        if not edge_sam.runtimes.is_known(name):
            raise InputError(f"unknown runtime {name!r}; known: {', '.join(edge_sam.runtimes.BACKENDS)}")
    pairs = () if matcher else edge_sam.runtimes.PAIRS  # A matcher has no image encoder to take apart.
    measured = runtime or [*edge_sam.runtimes.BACKENDS, *pairs]
    choices = tuning.candidates(tunable, measured, _thread_counts(threads))
    with status("") as show:
        rows = tuning.measure(tunable, choices, photographs, rounds, show)
    kept = tuning.keep(tunable, rows)
    reports = [tuning.report(row, tunable.agreement) for row in rows]
    if json:
        print_json({"matcher" if matcher else "model": tunable.name, "remembered": kept, "rows": reports})
        return
    _print_table(reports)
    best = reports[0]
    count = f", {best['threads']} threads" if best["threads"] else ""
    echo(f"auto will use {best['runtime']} in {best['precision']}{count} for {tunable.name} here")
    if not kept:
        echo("warning: the cache cannot be written, so this is forgotten (set EDGE_SAM_HOME)", err=True)


def _tunable(bundle: str, matcher: list[Path] | None, photographs: list[NDArray[np.uint8]]) -> Tunable[Any]:
    if matcher:
        from edge_sam.benchmark.tunable_matcher import TunableMatcher
        from edge_sam.text.files import choose_files

        return TunableMatcher(choose_files(matcher))
    from edge_sam.benchmark.tunable_model import TunableModel
    from edge_sam.bundles.bundle import open_bundle

    return TunableModel(open_bundle(bundle), photographs)


def _print_table(rows: list[dict[str, str | float | None]]) -> None:
    """Print all but the total, which is the sum of the rest, and the reason of a rejection last and without a title."""
    names = [name for name in rows[0] if name not in ("total_ms", "rejected")]
    shown = table(*(_TITLES.get(name, name.replace("_", " ")) for name in names), "")
    for row in rows:
        cells = (row[name] for name in names)
        shown.add_row(*("–" if cell is None else str(cell) for cell in cells), str(row["rejected"] or ""))
    plain_console().print(shown)


def _thread_counts(given: str | None) -> list[int | None]:
    from edge_sam.runtimes.cores import check_threads

    return [check_threads(part.strip()) for part in given.split(",")] if given else [None]


def _photographs(given: list[Path]) -> list[NDArray[np.uint8]]:
    """Read a few of what was given, evenly spaced; without any, a picture of a camera's usual shape."""
    from edge_sam.imaging.images import decode_image, evenly_spaced, pictures, read_image
    from edge_sam.imaging.scene import scene_jpeg

    if not given:
        return [decode_image(scene_jpeg(), "the drawn scene")]
    paths: list[Path] = []
    for path in given:
        inside = pictures(path) if path.is_dir() else [path]
        if not inside:
            raise InputError(f"no photograph in {path}")
        paths += inside
    return [read_image(path) for path in evenly_spaced(paths, _MAX_PHOTOGRAPHS)]
