"""`edge-sam tune`: measure every way of running a model here, and let `auto` use the fastest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from edge_sam.cli.options import Json
from edge_sam.cli.output import echo, plain_console, print_json, table
from edge_sam.cli.progress import status
from edge_sam.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MAX_PHOTOGRAPHS = 4


def tune(
    bundle: str = "mobile-sam",
    /,
    *,
    image: list[Path] | None = None,
    runtime: list[str] | None = None,
    threads: str | None = None,
    rounds: Annotated[int, Parameter(validator=Number(gte=1))] = 5,
    json: Json = False,
) -> None:
    """Time every usable runtime, precision and number of threads, and remember the fastest for this machine.

    Combinations whose masks differ from fp32 on the CPU are dropped. `auto` uses the result until the machine, the
    model or a runtime's version changes.

    Parameters
    ----------
    bundle
        Model name or bundle folder.
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
    from edge_sam.bundles.bundle import open_bundle

    opened = open_bundle(bundle)
    for name in runtime or []:
        if not edge_sam.runtimes.is_known(name):
            raise InputError(f"unknown runtime {name!r}; known: {', '.join(edge_sam.runtimes.BACKENDS)}")
    choices = tuning.candidates(
        opened, runtime or [*edge_sam.runtimes.BACKENDS, *edge_sam.runtimes.PAIRS], _thread_counts(threads)
    )
    photographs = _photographs(image or [])
    with status("") as show:
        rows = tuning.measure(opened, choices, photographs, rounds, show)
    kept = tuning.keep(opened, rows)
    reports = [tuning.report(row) for row in rows]
    if json:
        print_json({"model": opened.manifest.name, "remembered": kept, "rows": reports})
        return
    _print_table(reports)
    best = reports[0]
    count = f", {best['threads']} threads" if best["threads"] else ""
    echo(f"auto will use {best['runtime']} in {best['precision']}{count} for {opened.manifest.name} here")
    if not kept:
        echo("warning: the cache cannot be written, so this is forgotten (set EDGE_SAM_HOME)", err=True)


def _print_table(rows: list[dict[str, str | float | None]]) -> None:
    shown = table("runtime", "provider", "precision", "threads", "encode ms", "click ms", "IoU", "")
    for row in rows:
        cells = [row[key] for key in ("runtime", "provider", "precision", "threads", "encode_ms", "click_ms", "iou")]
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
